"""`archiver`: what people do with a stack, deployed or local. `app.py` lists the commands.

It sees a stack as its users do: outputs, queues, table, bucket, functions. It is no part of what is
deployed, shares no code with it, and may use the embedded cloud of local/ but not the other way.
"""
