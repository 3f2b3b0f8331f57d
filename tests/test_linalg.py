"""Linear algebra: values, gradients and refusals, against PyTorch; gradients by differences too."""

import numpy as np
import pytest
import twins
from gradients import check
from twins import cases, compare_all, compare_all_gradients

import twofold
from twofold.base.errors import ArgumentError, DTypeError, ShapeError
from twofold.ops.tensor import wrap

# P is positive definite, A square, C complex square, B a batch of squares, H Hermitian; doubles.
SETUP = """A = (q + 2 * T.eye(4)).double(); P = A @ A.mT + T.eye(4); B = T.stack([A, A.mT + 1, P]);
C = T.complex(A, A.mT - 1); H = C @ C.mH; D = d; E = x.double(); S = P[:3, :3];
W = T.complex(d, d.flip(0))"""
SETUP = SETUP.replace("\n", " ") + "; "
TEXT = """
T.linalg.inv(A)  T.linalg.inv(B)  T.linalg.inv(C)  A.inverse()  T.inverse(B)  T.linalg.inv(D)
T.linalg.inv(A.float())  T.linalg.inv(v)  T.linalg.inv(A[:0, :0])  T.linalg.inv(A * 0)
T.linalg.inv(i[:3, :3])  T.linalg.det(A)  T.linalg.det(B)  T.linalg.det(C)  T.det(A)  A.det()
T.linalg.det(T.ones(3, 3).double())  T.linalg.det(D)  T.linalg.det(A[:0, :0])  T.linalg.slogdet(A)
T.linalg.slogdet(B)  T.linalg.slogdet(C)  A.slogdet()  T.slogdet(A)  T.logdet(A)  P.logdet()
T.logdet(-S)  T.linalg.slogdet(T.zeros(2, 2))  T.linalg.solve(A, A[0])  T.linalg.solve(A, A.mT)
T.linalg.solve(B, A)  T.linalg.solve(A, B)  T.linalg.solve(B, B[:, 0])  T.linalg.solve(C, C[0])
T.linalg.solve(A, D)  T.linalg.solve(A, D.mT)  T.linalg.solve(A, D, left=False)
T.linalg.solve(A * 0, A)  T.linalg.solve(C, C.mH, left=False)  T.linalg.solve(A, A[0, :3])
T.linalg.solve_triangular(A, D.mT, upper=True)  T.linalg.solve_triangular(A, D.mT, upper=False)
T.linalg.solve_triangular(A, D, upper=True, left=False)
T.linalg.solve_triangular(B, A, upper=False)
T.linalg.solve_triangular(A, D.mT, upper=True, unitriangular=True)
T.linalg.solve_triangular(A, D.mT, upper=False, unitriangular=True)
T.linalg.solve_triangular(C, C.mH, upper=True)  T.linalg.solve_triangular(A, A[0], upper=True)
T.linalg.cholesky(P)  T.linalg.cholesky(H)  T.linalg.cholesky(P, upper=True)
T.linalg.cholesky(H, upper=True)  T.linalg.cholesky(T.stack([P, P + 1]))  P.cholesky()
T.cholesky(P, upper=True)  T.linalg.cholesky(-P)  T.linalg.cholesky(D)  T.linalg.cholesky(P.float())
T.cholesky_solve(D.mT, P.cholesky())  T.cholesky_inverse(P.cholesky())
T.triangular_solve(D.mT, P, upper=False, transpose=True)[0]  T.triangular_solve(D.mT, P)[0]
T.cholesky_solve(D.mT, P.cholesky(upper=True), upper=True)  T.linalg.pinv(D)  T.linalg.pinv(D.mT)
T.linalg.pinv(A)  T.linalg.pinv(E)  T.linalg.pinv(W)  T.linalg.pinv(P, hermitian=True)
T.linalg.pinv(D[:, :1] @ D[:1], rtol=1e-6)  T.linalg.pinv(D, atol=0.9)  T.pinverse(D)  D.pinverse()
T.linalg.pinv(D, 0.5)  T.linalg.svdvals(D)  T.linalg.svdvals(E)  T.linalg.svdvals(W)
T.linalg.eigvalsh(P)  T.linalg.eigvalsh(H)  T.linalg.eigvalsh(P, 'U')  T.linalg.eigvalsh(P, 'X')
T.linalg.eigvalsh(T.stack([P, P + 1]))  T.linalg.norm(D)  T.linalg.norm(D, 'fro')
T.linalg.norm(D, 2)  T.linalg.norm(D, 'nuc')  T.linalg.norm(D, 1)  T.linalg.norm(D, -1)
T.linalg.norm(D, inf)  T.linalg.norm(D, -inf)  T.linalg.norm(D, -2)  T.linalg.norm(D, 2, 1)
T.linalg.norm(D, 3, dim=0)  T.linalg.norm(E, 2, (0, 2))  T.linalg.norm(E, 'fro', (1, 2), True)
T.linalg.norm(E)  T.linalg.norm(E, dim=(0, 1, 2))  T.linalg.norm(E, 1)  T.linalg.norm(v)
T.linalg.norm(v, 3)  T.linalg.norm(v, inf)  T.linalg.norm(v, 'fro')  T.linalg.norm(i)
T.linalg.norm(f, dtype=T.float64)  T.linalg.norm(D, 5)  T.linalg.vector_norm(D)
T.linalg.vector_norm(D, 3, dim=1)  T.linalg.vector_norm(E, 1, (0, 2), True)
T.linalg.vector_norm(D, inf, dim=1)  T.linalg.vector_norm(D, -inf)  T.linalg.vector_norm(D, 0)
T.linalg.vector_norm(W)  T.linalg.vector_norm(f, 2.5, dtype=T.float64)  T.linalg.vector_norm(i)
T.linalg.vector_norm(D, 0.5, -1)  T.linalg.matrix_norm(D)  T.linalg.matrix_norm(E, 1, (0, 2))
T.linalg.matrix_norm(E, 'nuc', (0, 2), True)  T.linalg.matrix_norm(E, 2, keepdim=True)
T.linalg.matrix_norm(E, -inf, (2, 0))  T.linalg.matrix_norm(W, 'fro')  T.linalg.matrix_norm(W, 2)
T.linalg.matrix_norm(D, 3)  T.linalg.matrix_norm(v)  T.linalg.matrix_norm(D, dim=(0, 0))
T.linalg.cond(A)  T.linalg.cond(A, 1)  T.linalg.cond(A, 'fro')  T.linalg.cond(D)
T.linalg.cond(A, -2)
T.linalg.cond(A, inf)  T.linalg.cond(D, 1)  T.linalg.cond(B, 'nuc')  T.linalg.matrix_rank(A)
T.linalg.matrix_rank(D[:, :1] @ D[:1])  T.linalg.matrix_rank(E)
T.linalg.matrix_rank(P, hermitian=True)
T.linalg.matrix_rank(D, atol=0.9)  T.linalg.matrix_rank(D, rtol=0.5)  T.linalg.matrix_power(A, 3)
T.linalg.matrix_power(A, 0)  T.linalg.matrix_power(B, -2)  A.matrix_power(5)  T.matrix_power(C, 2)
T.linalg.matrix_power(D, 2)  T.linalg.multi_dot([D, A, D.mT])  T.linalg.multi_dot([D[0], A, D.mT])
T.linalg.multi_dot((D, A, A[0]))  T.linalg.multi_dot([D[0], A, A[0]])  T.linalg.multi_dot([D])
T.linalg.multi_dot([D, A])  T.linalg.cross(f[:, :3], g[:, :3])  T.linalg.cross(f, g, dim=0)
T.linalg.cross(f, g)  T.linalg.vecdot(f, g)  T.linalg.vecdot(z, w, dim=0)  T.linalg.vecdot(x, f)
T.linalg.matmul(D, A)  T.linalg.diagonal(E)  T.linalg.vander(v)  T.linalg.vander(f, N=3)
T.linalg.matrix_exp(A)  T.linalg.matrix_exp(B * 0.1)  T.linalg.matrix_exp(C * 0.3)  A.matrix_exp()
T.matrix_exp(A * 0)  T.linalg.lstsq(D.mT, A).solution  T.linalg.lstsq(D, A[:3]).solution
T.linalg.lstsq(E.mT, E.mT).solution  T.linalg.lstsq(D.mT, A).rank  T.linalg.lstsq(D.mT, A)[1]
T.linalg.lstsq(D.mT, A, driver='gelsd').singular_values  T.linalg.lstsq(D.mT, D).solution
T.linalg.lstsq(W.mT, C).solution
T.linalg.tensorinv(E.reshape(2, 3, 4)[:, :, :2].reshape(2, 2, 3)[:1])
T.linalg.tensorinv((P + T.eye(4)).reshape(2, 2, 4))
T.linalg.tensorsolve(A.reshape(2, 2, 4), A[0].reshape(2, 2))
T.linalg.lu(A)  T.linalg.lu(B)  T.linalg.lu(D)  T.linalg.lu(D.mT)  T.linalg.lu(C)  T.svd(D).S
T.qr(D)[1].abs()  D.svd(some=False).S  D.svd(compute_uv=False)[1]  T.linalg.qr(D)[1].abs()
T.linalg.qr(D, 'r')[0]  T.linalg.qr(D, 'other')  T.linalg.svd(D.half())  T.linalg.eigh(D)
"""
# Factors are known up to a sign or a phase: what is compared does not depend on it.
TEXT += """
T.linalg.qr(D.mT)[0] @ T.linalg.qr(D.mT)[1]  T.linalg.qr(D)[0] @ (T.linalg.qr(D)[1] ** 2).mT.mT
T.linalg.qr(D.mT)[0] ** 2  T.linalg.qr(D)[1] ** 2  T.linalg.qr(E)[1] ** 2  T.linalg.qr(E.mT)[0] ** 2
T.linalg.qr(C)[0].abs() ** 2  T.linalg.qr(W.mT)[1].abs()  T.linalg.qr(D, 'complete')[0] ** 2
(T.linalg.qr(D.mT, 'complete')[1] ** 2).detach()  T.linalg.svd(D)[0] ** 2
T.linalg.svd(D, False)[2] ** 2
T.linalg.svd(E, full_matrices=False)[0] ** 3 * T.linalg.svd(E, False)[0]
T.linalg.svd(D.mT, False)[0] ** 2  T.linalg.svd(W, False)[0].abs()  T.linalg.svd(W, False)[2].abs()
T.linalg.svd(D, False)[0] @ T.linalg.svd(D, False)[2]
T.linalg.svd(W, False)[0] @ T.linalg.svd(W, False)[2]
T.linalg.svd(D, False)[1]  T.svd(D)[2] ** 2  T.linalg.eigh(P)[1] ** 2  T.linalg.eigh(H)[1].abs()
T.linalg.eigh(P)[0]  T.linalg.eigh(P).eigenvalues  T.linalg.eigh(T.stack([P, P + A.mT + A]))[1] ** 2
T.linalg.eigh(P)[1] @ T.diag(T.linalg.eigh(P)[0].sin()) @ T.linalg.eigh(P)[1].mT
T.linalg.eigvals(A).abs().sort()[0]  T.linalg.eigvals(A).real.sum()
T.linalg.eigvals(C).abs().sort()[0]
T.linalg.eig(A)[1].abs().sum()  T.linalg.eig(C)[1].abs().sum()
(T.linalg.eig(A)[1] @ T.diag(T.linalg.eig(A)[0].sin()) @ T.linalg.eig(A)[1].inverse()).real
"""
LINES = [line for line in TEXT.splitlines() if line]
EXCEPT = {}


def given(line):
    return [SETUP + text for text in cases(line) if text not in EXCEPT]


@pytest.mark.parametrize("line", LINES)
def test_values(line, monkeypatch):
    monkeypatch.setitem(twins.TOLERANCE, "float32", 1e-5)
    monkeypatch.setitem(twins.TOLERANCE, "float64", 1e-9)
    compare_all(given(line))


@pytest.mark.parametrize("line", LINES)
def test_gradients(line, monkeypatch):
    monkeypatch.setitem(twins.TOLERANCE, "float32", 1e-4)
    monkeypatch.setitem(twins.TOLERANCE, "float64", 1e-8)
    compare_all_gradients(given(line))


def symmetric(x):
    return x + x.mH + 6 * twofold.eye(x.shape[-1], dtype=x.dtype)


L = twofold.linalg
DIFFERENCES = {
    "cholesky": lambda x: L.cholesky(symmetric(x)),
    "eigvalsh": lambda x: L.eigvalsh(symmetric(x)),
    "eigh": lambda x: L.eigh(symmetric(x)).eigenvectors.abs(),
    "svd": lambda x: L.svd(x, False).U.abs(),
    "svdvals": lambda x: L.svdvals(x),
    "svd both": lambda x: L.svd(x).U @ L.svd(x).Vh,
    "eig": lambda x: L.eig(x).eigenvectors.abs(),
    "eigvals": lambda x: L.eigvals(x).abs(),
    "qr": lambda x: L.qr(x).Q.abs(),
    "lu": lambda x: L.lu(x).L,
    "det": lambda x: L.det(x),
    "nuclear": lambda x: L.matrix_norm(x, "nuc"),
    "lstsq": lambda x: L.lstsq(x, x.mH @ x).solution,
}


@pytest.mark.parametrize("kind", ["real", "complex"])
@pytest.mark.parametrize("name", DIFFERENCES)
def test_gradients_are_difference_quotients_to_second_order(name, kind):
    random = np.random.default_rng(4)
    array = random.normal(size=(3, 3)) + 1.5 * np.diag([1.0, 2.0, 3.5])
    if kind == "complex":
        array = array + 0.3j * random.normal(size=(3, 3))
    x = wrap(array)
    x.tracked = True
    check(DIFFERENCES[name], [x])


def test_the_gradient_of_a_determinant_exists_where_there_is_no_inverse():
    x = twofold.tensor([[1.0, 2.0], [2.0, 4.0]], requires_grad=True)
    twofold.linalg.det(x).backward()
    np.testing.assert_allclose(x.grad.numpy(), [[4, -2], [-2, 1]], atol=1e-5)


@pytest.mark.parametrize(
    ("call", "error", "problem"),
    [
        (lambda f: L.inv(f), ShapeError, "a square matrix"),
        (lambda f: L.inv(f[0]), ShapeError, "a matrix, or a batch"),
        (lambda f: L.inv(f[:, :3] * 0), ArgumentError, "a matrix is singular"),
        (lambda f: L.svd(f.half()), DTypeError, "float16 is not taken"),
        (lambda f: L.svd(f.int()), DTypeError, "int32 is not taken"),
        (lambda f: L.cholesky(-f[:, :3] @ f[:, :3].mT), ArgumentError, "not positive-definite"),
        (lambda f: L.solve(f[:, :3], f.mT), ShapeError, "as many rows"),
        (lambda f: L.qr(f, "all"), ArgumentError, "mode is 'all'"),
        (lambda f: L.matrix_norm(f, "max"), ArgumentError, "ord is 'max'"),
    ],
)
def test_refusals_say_why(call, error, problem):
    with pytest.raises(error) as caught:
        call(twofold.from_numpy(np.random.default_rng(1).normal(size=(3, 4))))
    assert problem in str(caught.value)


SINGULAR = np.stack([np.eye(3), np.ones((3, 3)), np.diag([-2.0, 3.0, 4.0])])


@pytest.mark.parametrize("name", ["cholesky_ex", "inv_ex", "solve_ex"])
def test_which_matrices_failed_is_told(name):
    given = (SINGULAR, np.arange(6.0).reshape(3, 2)) if name == "solve_ex" else (SINGULAR,)
    made, info = getattr(L, name)(*map(twofold.from_numpy, given))
    wanted, marks = getattr(twins.torch.linalg, name)(*map(twins.torch.from_numpy, given))
    good = marks.numpy() == 0
    assert info.dtype == twofold.int32 and ((info.numpy() == 0) == good).all() and not good.all()
    np.testing.assert_allclose(made.numpy()[good], wanted.numpy()[good], rtol=1e-12)
    assert np.isnan(made.numpy()[~good]).all()
    with pytest.raises(L.LinAlgError) as caught:
        getattr(L, name)(*map(twofold.from_numpy, given), check_errors=True)
    assert isinstance(caught.value, RuntimeError) and isinstance(caught.value, ArgumentError)


@pytest.mark.parametrize("left", [True, False])
@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
def test_reflections_are_multiplied_without_their_product(dtype, left):
    random = np.random.default_rng(2)
    a = random.normal(size=(5, 3)).astype(dtype)
    if dtype is np.complex128:
        a = a + 1j * random.normal(size=(5, 3))
    packed, tau = np.linalg.qr(a, "raw")
    q = np.linalg.qr(a, "complete").Q
    other = random.normal(size=(5, 4) if left else (4, 5)).astype(dtype)
    given = twofold.from_numpy(packed.T.copy()), twofold.from_numpy(tau), twofold.from_numpy(other)
    for turned in (False, True):
        factor = q.conj().T if turned else q
        wanted = factor @ other if left else other @ factor
        made = twofold.ormqr(*given, left=left, transpose=turned)
        np.testing.assert_allclose(made.numpy(), wanted, 1e-10, 1e-12)
    with pytest.raises(ValueError, match="do not fit"):
        twofold.ormqr(given[0], given[1], given[2][:, :2] if not left else given[2][:2], left)


def test_reflections_want_matrices():
    number, vector, matrix = twofold.tensor(1.0), twofold.ones(3), twofold.ones(3, 3)
    for given in ((number, number, number), (vector, vector, matrix), (matrix, number, matrix)):
        with pytest.raises(ShapeError, match="ormqr: two matrices and a vector"):
            twofold.ormqr(*given)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_exponentials_of_half_matrices_are_those_of_float32_rounded(dtype):
    kind = getattr(twofold, dtype)
    x = twofold.randn(2, 3, 3).to(kind)
    made = twofold.linalg.matrix_exp(x)
    assert made.dtype == kind
    assert twofold.equal(made, twofold.linalg.matrix_exp(x.float()).to(kind))
