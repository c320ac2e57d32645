#!/bin/bash
# A scheduler's check: what ansible-playbook ended with, and what reports/drift.json says. To be run in the checkout.
set -u
rm -f reports/drift.json # an answer of yesterday is no answer
.venv/bin/ansible-playbook playbooks/drift.yml -e drift_accept_away=true "$@" > reports/drift.log 2>&1
code=$?
status=$(python3 -c 'import json; print(json.load(open("reports/drift.json"))["status"])' 2> /dev/null || echo error)
if [ "$code" -eq 0 ] && [ "$status" = in_sync ]; then exit 0; fi
echo "ollama-fleet: $status (exit code $code), see reports/drift.log and reports/drift.json"
exit 1
