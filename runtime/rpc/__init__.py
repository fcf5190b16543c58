"""HTTP for people and programs: what a node shows and what it accepts.

views.py     what is shown: pydantic models, hence OpenAPI and JSON Schema
api.py       the Protocol of what HTTP needs of a node
routes.py    one function for each path
problems.py  errors as application/problem+json (RFC 9457)
guard.py     bounds on bodies; nothing escapes as a traceback
metrics.py   /metrics, and what HTTP itself is measured by
server.py    Hypercorn inside the node's own nursery

What must not live here: deciding anything about the chain.
"""
