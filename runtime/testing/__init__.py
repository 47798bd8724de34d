"""For tests of code built on antfold: contracts of stores and catalogues, and a slow oracle of what metrics mean.

Needs pytest and Hypothesis (``pip install 'antfold[test]'``). Call
``pytest.register_assert_rewrite("runtime.testing")`` before importing it, for readable assertions.
"""
