"""A from-scratch autograd engine with torch's names: `import refgrad as torch`."""

# Names are re-exported here, and some are called what builtins are called, as in torch.
# ruff: noqa: F401

from refgrad import autograd, fft, linalg, nn, special, utils
from refgrad.devices import device
from refgrad.dtypes import bool_ as bool
from refgrad.dtypes import (
    complex64,
    complex128,
    dtype,
    finfo,
    float16,
    float32,
    float64,
    get_default_dtype,
    iinfo,
    int8,
    int16,
    int32,
    int64,
    promote_types,
    set_default_dtype,
    uint8,
)
from refgrad.dtypes import complex64 as cfloat
from refgrad.dtypes import complex128 as cdouble
from refgrad.dtypes import float16 as half
from refgrad.dtypes import float32 as float
from refgrad.dtypes import float64 as double
from refgrad.dtypes import int16 as short
from refgrad.dtypes import int32 as int
from refgrad.dtypes import int64 as long
from refgrad.generator import Generator, default_generator
from refgrad.modes import (
    enable_grad,
    inference_mode,
    is_anomaly_check_nan_enabled,
    is_anomaly_enabled,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_anomaly_enabled,
    set_grad_enabled,
)
from refgrad.ops import attach
from refgrad.printing import set_printoptions
from refgrad.tensor import Size, Tensor, result_type

__version__ = "0.1.0"

globals().update(attach())
