"""The hook on redis-py, importing RQ as a hook does that uses RQ's own classes."""

import hook_redis
import rq

if __name__ == "__main__":
    if not hasattr(rq, "Queue"):
        raise SystemExit("this is not RQ")
    hook_redis.main()
