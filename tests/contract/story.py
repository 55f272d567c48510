"""prototype"""
from __future__ import annotations
import os, socket, sys, json, time
import redis
from rq import Queue, SimpleWorker, Retry
from rq.job import Dependency
from rq.serializers import JSONSerializer
from pool import connect, model, payload, settings as sm
from pool.claim import Caller
from tests.contract import keyspace
import workers
import types
sys.modules["workers.headless"]=headless=types.ModuleType("workers.headless")

TASKS=[dict(id="good"),dict(id="bad"),dict(id="again",retries=1),dict(id="later",retries=2,backoff=[60,90]),
 dict(id="child",after=["good"]),dict(id="any",after=["good","bad"],allow_failure=True),dict(id="orphan",after=["bad"]),
 dict(id="due",run_in=3600), dict(id="gone"), dict(id="urgent", priority="high"), dict(id="aside",queue="other"),]
FAIL={"bad","again","later"}
QUEUES=["tasks:high","tasks","tasks:low"]
def fields(t): 
    f={"prompt":f"do {t['id']}","title":t["id"],"timeout":600}
    if t.get("after"): f["parents"]=t["after"]
    return f
def qn(t):
    return model.rq_queue(t.get("queue","tasks"), t.get("priority","normal"))

def rq_story(conn):
    conn.flushall(); shots={}; rd=keyspace.Reader(conn)
    q={n:Queue(n,connection=conn,serializer=JSONSerializer) for n in QUEUES+["other"]}
    for t in TASKS:
        kw=dict(kwargs=fields(t),job_id=t["id"],description=t["id"],job_timeout=600,result_ttl=2592000,failure_ttl=31536000)
        if t.get("retries"): kw["retry"]=Retry(max=t["retries"],interval=t.get("backoff") or 0)
        if t.get("after"): kw["depends_on"]=Dependency(t["after"],allow_failure=t.get("allow_failure",False))
        if t.get("run_in"):
            from datetime import timedelta
            q[qn(t)].enqueue_in(timedelta(seconds=t["run_in"]),payload.FUNCTION,**kw)
        else: q[qn(t)].enqueue(payload.FUNCTION,**kw)
    q["tasks"].fetch_job("gone").cancel()
    shots["submitted"]=rd.read()
    def run(**k):
        if k["title"]=="urgent": shots["running"]=rd.read()
        if k["title"] in FAIL: raise RuntimeError("it broke")
        return {"done":k["title"]}
    headless.run=run
    w=SimpleWorker([q[n] for n in QUEUES],name="w",connection=conn,serializer=JSONSerializer)
    w.work(burst=True,logging_level="CRITICAL")
    shots["ended"]=rd.read()
    return shots

def our_story(conn):
    conn.flushall(); shots={}; rd=keyspace.Reader(conn)
    st=sm.load(); pool=connect.pool(st,conn)
    for t in TASKS:
        spec=model.parse_spec({"prompt":f"do {t['id']}","title":t["id"],"timeout":600,**t})
        _,rec=model.record(spec,st,time.time())
        assert pool.submit([rec])[0]=="ok"
    pool.cancel("gone","story")
    shots["submitted"]=rd.read()
    _,me=pool.register("w","","s",socket.gethostname(),os.getpid(),["tasks"],600,0,"/",("%s"%__import__("rq").VERSION,sys.version))
    while (h:=pool.claim(me).handed):
        t=h.claim.task_id
        if t=="urgent": shots["running"]=rd.read()
        if t in FAIL: pool.fail(me,h.claim,"RuntimeError: it broke")
        else: pool.complete(me,h.claim,json.dumps({"done":t}))
    pool.deregister(me,False,"over")
    shots["ended"]=rd.read()
    return shots

if __name__=="__main__":
    conn=redis.Redis.from_url(sys.argv[1])
    a,b=rq_story(conn),our_story(conn)
    for ph in a:
        print("=====",ph)
        for k,v in keyspace.differences(a[ph],b[ph]).items(): print(k,"|",v)
