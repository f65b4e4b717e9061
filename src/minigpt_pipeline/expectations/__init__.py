"""What reviews must look like before a model learns from them, checked with Great Expectations.

Great Expectations takes about five seconds to import, so it is imported inside the functions that use it. Everything
after its checks works on `Outcome`, a plain record.
"""
