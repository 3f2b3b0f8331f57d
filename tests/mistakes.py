"""Programs with one mistake each, for tests/test_errors.py: the commonest ones, by subject.

A line `# name` starts a program, an empty line ends it. As a script: all their texts, as JSON.
"""

import json
import linecache

import twofold
import twofold.nn.functional as F
from twofold import nn, optim

COMMON = ("RuntimeError", "Exception", "BaseException", "object", "LookupError", "ArithmeticError")

PRODUCTS = """
# matmul_inner
x = twofold.randn(32, 784)
w = twofold.randn(128, 784)
logits = x @ w

# matmul_scalar
x = twofold.randn(3)
s = twofold.tensor(2.0)
x @ s

# matmul_batch
x = twofold.randn(4, 2, 3)
w = twofold.randn(5, 3, 2)
x @ w

# mm_ranks
x = twofold.randn(2, 3, 4)
w = twofold.randn(4, 5)
twofold.mm(x, w)

# bmm_ranks
x = twofold.randn(2, 3)
w = twofold.randn(3, 4)
twofold.bmm(x, w)

# bmm_batches
x = twofold.randn(2, 3, 4)
w = twofold.randn(3, 4, 5)
twofold.bmm(x, w)

# mv_shape
m = twofold.randn(2, 3)
v = twofold.randn(2)
twofold.mv(m, v)

# addmm_shape
twofold.addmm(twofold.zeros(7), twofold.randn(2, 3), twofold.randn(3, 4))

# linear_inner
x = twofold.randn(32, 784)
nn.Linear(256, 128)(x)

# linear_functional
x = twofold.randn(32, 784)
w = twofold.randn(784, 10)
F.linear(x, w)

# linear_bias
F.linear(twofold.randn(2, 3), twofold.randn(4, 3), twofold.zeros(3))

# linear_nested
class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(256, 128)
    def forward(self, x):
        return self.fc(x)
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.block = nn.ModuleList([Block(), Block(), Block()])
    def forward(self, x):
        return self.block[2](x)
model = Net()
logits = model(twofold.randn(32, 784))

# linear_sequential
model = nn.Sequential(nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Linear(64, 10))
model(twofold.randn(2, 28, 28))

# conv_channels
x = twofold.randn(8, 1, 28, 28)
nn.Conv2d(3, 16, 3)(x)

# conv_rank
x = twofold.randn(28, 28)
nn.Conv2d(1, 16, 3)(x)

# conv_kernel_larger
x = twofold.randn(1, 1, 2, 2)
nn.Conv2d(1, 4, 5)(x)

# conv_groups
nn.Conv2d(3, 4, 3, groups=2)

# pool_too_large
F.max_pool2d(twofold.randn(1, 1, 2, 2), 3)

# batch_norm_rank
nn.BatchNorm2d(16)(twofold.randn(32, 16))

# batch_norm_channels
nn.BatchNorm2d(16)(twofold.randn(2, 8, 4, 4))

# batch_norm_one
nn.BatchNorm1d(4)(twofold.randn(1, 4))

# layer_norm_shape
nn.LayerNorm(16)(twofold.randn(2, 8))

# embedding_range
table = nn.Embedding(100, 16)
table(twofold.tensor([1, 5, 100]))

# embedding_floats
table = nn.Embedding(100, 16)
table(twofold.tensor([1.0, 5.0]))

# lstm_shape
nn.LSTM(8, 16, batch_first=True)(twofold.randn(2, 5, 9))

# attention_heads
nn.MultiheadAttention(10, 3)

# sdpa_shape
q = twofold.randn(2, 4, 8)
k = twofold.randn(2, 4, 6)
F.scaled_dot_product_attention(q, k, k)
"""

SHAPES = """
# broadcast
x = twofold.randn(32, 10)
b = twofold.randn(32)
x + b

# where_shapes
twofold.where(twofold.ones(3, dtype=twofold.bool), twofold.zeros(4), twofold.ones(4))

# where_mask_dtype
twofold.where(twofold.ones(3), twofold.zeros(3), twofold.ones(3))

# cat_shapes
a = twofold.zeros(2, 3)
b = twofold.zeros(2, 4)
twofold.cat([a, b])

# cat_empty
twofold.cat([])

# cat_ranks
twofold.cat([twofold.zeros(2, 3), twofold.zeros(3)])

# cat_numbers
twofold.cat([twofold.zeros(2), 3.0])

# stack_shapes
twofold.stack([twofold.zeros(3), twofold.zeros(4)])

# stack_empty
twofold.stack([])

# view_size
x = twofold.randn(2, 3)
x.view(4, 2)

# view_strides
x = twofold.randn(2, 3)
x.t().view(6)

# reshape_size
x = twofold.randn(8, 16, 4, 4)
x.reshape(8, 128)

# reshape_minus_one
x = twofold.randn(10)
x.reshape(-1, 3)

# reshape_two_unknown
twofold.randn(10).reshape(-1, -1)

# flatten_dims
twofold.randn(2, 3).flatten(1, 5)

# dim_range
x = twofold.randn(2, 3)
x.sum(2)

# dim_twice
twofold.randn(2, 3).sum((0, -2))

# dim_type
twofold.randn(2, 3).sum(1.5)

# dim_softmax
F.softmax(twofold.randn(2, 3), dim=2)

# transpose_dim
twofold.randn(2, 3).transpose(0, 2)

# permute_wrong
twofold.randn(2, 3, 4).permute(0, 2)

# t_rank
twofold.randn(2, 3, 4).t()

# expand_wrong
twofold.randn(3, 1).expand(2, 4)

# repeat_few
twofold.randn(3, 2).repeat(2)

# unsqueeze_dim
twofold.randn(2, 3).unsqueeze(4)

# negative_size
twofold.zeros(2, -3)

# float_size
twofold.zeros(2.5)

# ragged
twofold.tensor([[1.0, 2.0], [3.0]])

# tensor_of_none
twofold.tensor(None)

# einsum_wrong
twofold.einsum("ij,jk->ik", twofold.randn(2, 3), twofold.randn(4, 5))

# tensordot
twofold.tensordot(twofold.randn(2, 3), twofold.randn(4, 5), dims=1)

# topk_k
twofold.randn(3).topk(5)

# pad_odd
F.pad(twofold.randn(2, 3), (1, 1, 1))

# max_empty
twofold.zeros(0).max()

# argmax_empty
twofold.zeros(0, 3).argmax(0)

# iterate_scalar
for x in twofold.tensor(1.0):
    print(x)

# len_scalar
len(twofold.tensor(1.0))
"""

INDICES = """
# index_range
x = twofold.randn(3, 4)
x[5]

# index_range_second
x = twofold.randn(3, 4)
x[0, 4]

# index_tensor_range
x = twofold.randn(3, 4)
x[twofold.tensor([0, 7])]

# index_float
x = twofold.randn(3)
x[1.0]

# index_float_tensor
x = twofold.randn(3)
x[twofold.tensor([0.0, 1.0])]

# index_string
x = twofold.randn(3)
x["loss"]

# index_mask_shape
x = twofold.randn(3, 4)
x[twofold.ones(4, dtype=twofold.bool)]

# index_two_lists
x = twofold.randn(3, 4)
x[[0, 1], [0, 1, 2]]

# assign_shape
x = twofold.zeros(3, 4)
x[0] = twofold.ones(3)

# assign_string
x = twofold.zeros(3)
x[0] = "a"

# gather_index_range
twofold.randn(2, 3).gather(1, twofold.tensor([[3], [0]]))

# gather_index_dtype
twofold.randn(2, 3).gather(1, twofold.zeros(2, 1))

# index_select_range
twofold.randn(2, 3).index_select(1, twofold.tensor([3]))

# masked_fill_float
twofold.randn(3).masked_fill(twofold.ones(3), 0.0)

# masked_select_shape
twofold.randn(3, 4).masked_select(twofold.ones(3, dtype=twofold.bool))

# one_hot_range
F.one_hot(twofold.tensor([0, 3]), 3)
"""

TYPES = """
# mean_int
twofold.tensor([1, 2, 3]).mean()

# softmax_int
F.softmax(twofold.tensor([1, 2, 3]), dim=0)

# requires_grad_int
twofold.tensor([1, 2], requires_grad=True)

# dtype_unknown
twofold.zeros(3, dtype="float31")

# bitwise_float
twofold.randn(3) & twofold.randn(3)

# invert_float
~twofold.randn(3)

# neg_bool
-(twofold.randn(3) > 0)

# sub_bool
m = twofold.randn(3) > 0
m - m

# add_string
twofold.randn(3) + "a"

# add_list
twofold.randn(3) + [1, 2, 3]

# exp_of_list
twofold.exp([1.0, 2.0])

# relu_of_none
F.relu(None)

# divide_zero_int
twofold.tensor([4, 2]) // 0

# iadd_promotes
x = twofold.tensor([1, 2])
x += 0.5

# iadd_grows
x = twofold.zeros(3)
x += twofold.ones(2, 3)

# out_dtype
out = twofold.zeros(3, dtype=twofold.int64)
twofold.add(twofold.randn(3), 1, out=out)

# complex_compare
z = twofold.tensor([1j])
z < z

# numpy_object
import numpy as np
twofold.from_numpy(np.array(["a"]))

# device_cuda
twofold.zeros(3, device="cuda")

# item_many
loss = twofold.randn(3)
loss.item()

# bool_many
x = twofold.randn(3)
if x > 0:
    print("positive")

# numpy_grad
w = twofold.randn(3, requires_grad=True)
w.numpy()

# range_float
range(twofold.tensor(2.5))

# deepcopy_nonleaf
import copy
w = twofold.randn(3, requires_grad=True) * 2
copy.deepcopy(w)

# attribute_module
model = nn.Linear(2, 2)
model.wieght

# attribute_package
twofold.sotfmax
"""

GRADIENTS = """
# backward_no_grad
x = twofold.randn(3)
loss = (x * x).sum()
loss.backward()

# backward_in_no_grad
w = twofold.randn(3, requires_grad=True)
with twofold.no_grad():
    loss = (w * w).sum()
loss.backward()

# backward_many
w = twofold.randn(3, requires_grad=True)
y = w * w
y.backward()

# backward_gradient_shape
w = twofold.randn(3, requires_grad=True)
y = w * w
y.backward(twofold.ones(2))

# backward_twice
w = twofold.randn(3, requires_grad=True)
loss = (w * w).sum()
loss.backward()
loss.backward()

# leaf_in_place
w = twofold.randn(3, requires_grad=True)
w += 1

# leaf_setitem
w = twofold.randn(3, requires_grad=True)
w[0] = 0.0

# leaf_view_in_place
w = twofold.randn(3, requires_grad=True)
w[1:].zero_()

# saved_overwritten
w = twofold.randn(3, requires_grad=True)
h = w.exp()
loss = (h * h).sum()
h += 1
loss.backward()

# saved_parameter_overwritten
w = twofold.randn(3, requires_grad=True)
x = twofold.randn(3, requires_grad=True)
loss = (w * x).sum()
with twofold.no_grad():
    w -= 0.1
loss.backward()

# saved_overwritten_setitem
x = twofold.zeros(3)
w = twofold.ones(3, requires_grad=True)
loss = (w * x).sum()
x[0] = 5.0
loss.backward()

# grad_unused
a = twofold.randn(3, requires_grad=True)
b = twofold.randn(3, requires_grad=True)
twofold.autograd.grad((a * a).sum(), [a, b])

# grad_not_tracked
x = twofold.randn(3)
w = twofold.randn(3, requires_grad=True)
twofold.autograd.grad((w * x).sum(), x)

# requires_grad_off_nonleaf
w = twofold.randn(3, requires_grad=True)
y = w * 2
y.requires_grad = False

# anomaly_nan
x = twofold.tensor([0.0, 1.0], requires_grad=True)
with twofold.autograd.detect_anomaly():
    y = x.sqrt() * 0
    y.sum().backward()

# function_backward_count
class Twice(twofold.autograd.Function):
    @staticmethod
    def forward(ctx, a, b):
        return a + b
    @staticmethod
    def backward(ctx, g):
        return g
w = twofold.randn(3, requires_grad=True)
Twice.apply(w, w).sum().backward()

# function_backward_shape
class Twice(twofold.autograd.Function):
    @staticmethod
    def forward(ctx, a):
        return a * 2
    @staticmethod
    def backward(ctx, g):
        return g.sum(0)[:0]
w = twofold.randn(3, 2, requires_grad=True)
Twice.apply(w).sum().backward()

# hook_no_grad
twofold.randn(3).register_hook(print)

# grad_assign_shape
w = twofold.randn(3, requires_grad=True)
w.grad = twofold.zeros(4)
optim.SGD([w], lr=0.1).step()
"""

LOSSES = """
# cross_entropy_label
logits = twofold.randn(4, 3)
F.cross_entropy(logits, twofold.tensor([0, 1, 2, 3]))

# cross_entropy_negative
F.cross_entropy(twofold.randn(2, 3), twofold.tensor([0, -1]))

# cross_entropy_batch
F.cross_entropy(twofold.randn(4, 3), twofold.tensor([0, 1]))

# cross_entropy_floats
F.cross_entropy(twofold.randn(2, 3), twofold.tensor([0.0, 1.0]))

# cross_entropy_column
F.cross_entropy(twofold.randn(2, 3), twofold.tensor([[0], [1]]))

# cross_entropy_weight
F.cross_entropy(twofold.randn(2, 3), twofold.tensor([0, 1]), weight=twofold.ones(2))

# nll_label
F.nll_loss(F.log_softmax(twofold.randn(2, 3), 1), twofold.tensor([0, 5]))

# mse_shapes
prediction = twofold.randn(32, 1)
target = twofold.randn(32)
F.mse_loss(prediction, target)

# bce_shapes
F.binary_cross_entropy_with_logits(twofold.randn(4, 1), twofold.zeros(4))

# bce_range
F.binary_cross_entropy(twofold.tensor([1.5]), twofold.tensor([1.0]))

# reduction
F.mse_loss(twofold.randn(3), twofold.randn(3), reduction="avg")

# reduction_module
nn.CrossEntropyLoss(reduction="average")(twofold.randn(2, 3), twofold.tensor([0, 1]))

# dropout_p
nn.Dropout(1.5)
"""

MODULES = """
# no_super_init
class Net(nn.Module):
    def __init__(self):
        self.fc = nn.Linear(4, 2)
Net()

# no_super_init_call
class Net(nn.Module):
    def __init__(self):
        self.size = 4
    def forward(self, x):
        return x
Net()(twofold.randn(3))

# no_forward
class Net(nn.Module):
    pass
Net()(twofold.randn(3))

# module_attribute
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(4, 8)
        self.fc2 = nn.Linear(8, 2)
    def forward(self, x):
        return self.fc2(self.fc1(x))
Net().fc3

# module_inner_attribute
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer1 = nn.Linear(4, 2)
    def forward(self, x):
        return self.layer_1(x)
Net()(twofold.randn(2, 4))

# parameter_replaced
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(4, 8)
        self.fc2 = nn.Linear(8, 2)
    def forward(self, x):
        return self.fc2(self.fc1(x))
net = Net()
net.fc1.weight = twofold.zeros(8, 4)

# sequential_not_module
nn.Sequential(nn.Linear(2, 2), F.relu)

# module_list_index
nn.ModuleList([nn.Linear(2, 2)])[3]

# module_list_input
nn.Linear(4, 2)([1.0, 2.0, 3.0, 4.0])

# module_to_int
nn.Linear(4, 2).to(twofold.int64)

# get_submodule
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(4, 8)
        self.fc2 = nn.Linear(8, 2)
    def forward(self, x):
        return self.fc2(self.fc1(x))
Net().get_submodule("fc1.inner")

# state_dict_diff
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(4, 8)
        self.fc2 = nn.Linear(8, 2)
    def forward(self, x):
        return self.fc2(self.fc1(x))
state = Net().state_dict()
state["fc3.weight"] = state.pop("fc2.weight")
state["fc1.weight"] = twofold.zeros(8, 5)
Net().load_state_dict(state)

# state_dict_missing
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(4, 8)
        self.fc2 = nn.Linear(8, 2)
    def forward(self, x):
        return self.fc2(self.fc1(x))
Net().load_state_dict({})

# state_dict_type
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(4, 8)
        self.fc2 = nn.Linear(8, 2)
    def forward(self, x):
        return self.fc2(self.fc1(x))
Net().load_state_dict(twofold.zeros(3))

# state_dict_prefix
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(4, 8)
        self.fc2 = nn.Linear(8, 2)
    def forward(self, x):
        return self.fc2(self.fc1(x))
state = {"module." + k: v for k, v in Net().state_dict().items()}
Net().load_state_dict(state)

# linear_sizes
nn.Linear(-1, 3)

# init_fan
nn.init.xavier_uniform_(twofold.zeros(3))
"""

OPTIMIZERS = """
# optimizer_empty
optim.Adam([])

# optimizer_lr
optim.SGD([nn.Parameter(twofold.zeros(2))], lr=-0.1)

# optimizer_betas
optim.Adam([nn.Parameter(twofold.zeros(2))], betas=(0.9, 1.5))

# optimizer_betas_one
optim.Adam([nn.Parameter(twofold.zeros(2))], betas=0.9)

# optimizer_tensor
optim.SGD(twofold.zeros(2), lr=0.1)

# optimizer_module
optim.SGD(nn.Linear(2, 2), lr=0.1)

# optimizer_non_leaf
w = twofold.randn(3, requires_grad=True)
optim.SGD([w * 2], lr=0.1)

# optimizer_twice
w = nn.Parameter(twofold.zeros(2))
optim.SGD([{"params": [w]}, {"params": [w]}], lr=0.1)

# optimizer_nesterov
optim.SGD([nn.Parameter(twofold.zeros(2))], lr=0.1, nesterov=True)

# optimizer_lr_string
optim.SGD([nn.Parameter(twofold.zeros(2))], lr="0.1")

# optimizer_state
w = nn.Parameter(twofold.zeros(2))
v = nn.Parameter(twofold.zeros(3))
optim.SGD([w], lr=0.1).load_state_dict(optim.SGD([w, v], lr=0.1).state_dict())

# scheduler_optimizer
optim.lr_scheduler.StepLR(nn.Linear(2, 2), 3)
"""

DATA = """
# loader_batch_size
from twofold.data import DataLoader
DataLoader([1, 2, 3], batch_size=0)

# loader_sampler_shuffle
from twofold.data import DataLoader, SequentialSampler
DataLoader([1, 2], sampler=SequentialSampler([1, 2]), shuffle=True)

# loader_shapes
from twofold.data import DataLoader
list(DataLoader([twofold.zeros(2), twofold.zeros(3)], batch_size=2))

# loader_no_len
from twofold.data import DataLoader, Dataset
class Mine(Dataset):
    def __getitem__(self, i):
        return i
list(DataLoader(Mine(), batch_size=2))

# loader_no_getitem
from twofold.data import DataLoader, Dataset
class Mine(Dataset):
    def __len__(self):
        return 3
list(DataLoader(Mine(), batch_size=2))

# loader_keys
from twofold.data import DataLoader
list(DataLoader([{"a": 1}, {"b": 2}], batch_size=2))

# tensor_dataset_sizes
from twofold.data import TensorDataset
TensorDataset(twofold.zeros(3), twofold.zeros(4))

# save_function
twofold.save({"f": print}, "x.safetensors")

# save_module
twofold.save(nn.Linear(2, 2), "x.safetensors")

# load_text
with open("bad.safetensors", "w") as file:
    file.write("this is no file of tensors")
twofold.load("bad.safetensors")

# load_cut
twofold.save({"w": twofold.zeros(100)}, "w.safetensors")
with open("w.safetensors", "rb+") as file:
    file.truncate(600)
twofold.load("w.safetensors")

# load_changed
twofold.save({"w": twofold.zeros(100)}, "w.safetensors")
with open("w.safetensors", "rb+") as file:
    file.seek(-4, 2)
    file.write(b"1")
twofold.load("w.safetensors")

# load_pickle
import pickle
with open("model.pt", "wb") as file:
    pickle.dump({"a": 1}, file)
twofold.load("model.pt")

# seed_string
twofold.manual_seed("a")

# randint_args
twofold.randint(5)

# arange_step
twofold.arange(0, 5, -1)
"""

SUBJECTS = {
    "products": PRODUCTS,
    "shapes": SHAPES,
    "indices": INDICES,
    "types": TYPES,
    "gradients": GRADIENTS,
    "losses": LOSSES,
    "modules": MODULES,
    "optimizers": OPTIMIZERS,
    "data": DATA,
}


def programs(subject: str) -> dict[str, str]:
    """The programs of a subject by their names."""
    made = {}
    for part in SUBJECTS[subject].strip().split("\n\n"):
        name, _, program = part.partition("\n")
        made[name.removeprefix("# ")] = program + "\n"
    return made


def text_of(program: str) -> str:
    """What the program's error says, below its class and the built-in that it is.

    The program is called train.py, whose lines are found as if it were a file.
    """
    twofold.manual_seed(0)
    names = {"twofold": twofold, "nn": nn, "optim": optim, "F": F, "__name__": "__main__"}
    linecache.cache["train.py"] = (len(program), None, program.splitlines(True), "train.py")
    try:
        exec(compile(program, "train.py", "exec"), names)
    except Exception as error:
        return f"{kinds(error)}\n{error}"
    return "no error"


def kinds(error: Exception) -> str:
    """The class, and the classes of Python's that it derives from."""
    bases = [base.__name__ for base in type(error).__mro__ if base.__module__ == "builtins"]
    fitting = [name for name in bases if name not in COMMON]
    return ": ".join([type(error).__name__, ", ".join(fitting) or "RuntimeError"])


def all_texts() -> dict[str, dict[str, str]]:
    return {
        subject: {name: text_of(program) for name, program in programs(subject).items()}
        for subject in SUBJECTS
    }


if __name__ == "__main__":
    print(json.dumps(all_texts()))
