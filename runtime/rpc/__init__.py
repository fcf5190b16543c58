"""HTTP for people and programs: what a node shows and what it accepts (docs/rpc.md).

views.py           what is shown: pydantic models, hence OpenAPI and JSON Schema
api.py             the Protocol of what HTTP needs of a node
routes.py          one function for each path
paging.py          lists, a page at a time
events.py          the stream of events
openapi.py, module_schemas.py   what the OpenAPI document says besides: conventions, the modules' declarations
values.py, accounts.py          values of modules as people see them
metrics.py         what Prometheus reads
problems.py        errors as application/problem+json (RFC 9457)
bounds.py          every bound
guard.py           bounds on requests; nothing escapes as a traceback
server.py, connection.py        Hypercorn's connections inside the node's own nursery

What must not live here: deciding anything about the chain.
"""
