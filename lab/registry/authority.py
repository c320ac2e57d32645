"""The lab's own certificate authority, and the registry's certificate."""

from __future__ import annotations

import fcntl
from pathlib import Path

import trustme

HOSTS = ("registry.ollama.ai", "hf.co", "huggingface.co", "localhost", "127.0.0.1", "::1", "198.51.100.10")
CA = "ca.pem"
CHAIN = "registry.pem"


def ensure(folder: Path) -> Path:
    """Make the authority and the registry's certificate once; gives the CA's PEM file."""
    folder.mkdir(parents=True, exist_ok=True)
    authority, chain = folder / CA, folder / CHAIN
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (authority.exists() and chain.exists()):
            made = trustme.CA(organization_name="Virtual fleet", organization_unit_name="Registry")
            leaf = made.issue_cert(*HOSTS)
            chain.touch(mode=0o600)
            leaf.private_key_and_cert_chain_pem.write_to_path(str(chain))
            made.cert_pem.write_to_path(str(authority))
            authority.chmod(0o644)
    return authority


def chain(folder: Path) -> Path:
    """Give the file with the registry's key and certificate."""
    ensure(folder)
    return folder / CHAIN
