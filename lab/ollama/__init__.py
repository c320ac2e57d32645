"""The stand-in Ollama of a virtual Mac: server, command line and keg, standard library only.

Behaviour follows Ollama 0.32.15 as observed on a real server, and its source at 0.33.0-rc2 where a Mac differs
from the Linux build that was observed. Not played: accounts, cloud models, image generation, `/v1/responses`,
`/v1/messages` and `/v1/audio` (404, as in a release that does not know them yet).
"""
