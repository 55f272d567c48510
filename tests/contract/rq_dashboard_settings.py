"""`rq-dashboard -c rq_dashboard_settings`: its workers page reads jobs with RQ's default serializer.

(docs/guarantees.md has these two lines for users.) With them it reads JSON, and never a pickle.
"""

import rq.serializers

rq.serializers.PickleSerializer = rq.serializers.DefaultSerializer = rq.serializers.JSONSerializer  # type: ignore
