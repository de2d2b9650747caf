"""A worker that reads its keys when it needs them: `python worker.py`."""

import asyncio

from splitvault import KeyClient


async def main() -> None:
    """Reads two keys in one request, and says how they were read."""
    async with KeyClient(service_name="try-worker") as client:  # SERVICE_TOKEN, KEY_SERVICE_URL, KEY_ENVIRONMENT
        for _ in range(2):
            keys = await client.get_keys(["try-worker.queue", "try-worker.mail"], cache_ttl=600)
            for path, key in keys.items():
                print(f"{path}: {len(key.value)} characters, from the cache: {key.from_cache}, stale: {key.stale}")


if __name__ == "__main__":
    asyncio.run(main())
