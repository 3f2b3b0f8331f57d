

def test_a_walk_that_checks_indices_has_no_checks_of_its_own():
    x = twofold.randn(3, 3, requires_grad=True)

    def f(x):
        p, lower, upper = twofold.linalg.lu(x)
        return upper.sum() + (lower * lower).sum()

    f(x).backward()
    plain, x.grad = x.grad, None
    twofold.compile(f)(x).backward()
    assert x.grad.tolist() == plain.tolist()
