"""Matrix products and square roots by NumPy: against float64, for any strides, with torch's own gradients."""

import subprocess
import sys

from tests.conftest import ROOT

#: In a process of its own, since the operations are replaced for the whole process.
CHECKS = """\
from pipeline.runtime import numerics
numerics.apply()
import torch
from torch import nn
from pipeline.encoding import portable

drawn = torch.Generator().manual_seed(0)

def random(*shape, dtype=torch.float32):
    return torch.randn(shape, generator=drawn, dtype=dtype)

cases = [(a, b) for n, k, m in ((3, 4, 5), (1, 7, 1), (0, 4, 5), (5, 0, 3), (64, 300, 33))
         for a in (random(n, k), random(k, n).T, random(2 * n, k)[::2]) for b in (random(k, m), random(m, k).T)]
before = [a @ b for a, b in cases]
layer, given = nn.Linear(40, 7), random(9, 40)
layer.weight.requires_grad_()
def gradients():
    layer.zero_grad()
    layer(given).square().sum().backward()
    return [layer(given).detach(), layer.weight.grad.clone(), layer.bias.grad.clone()]
learned = gradients()
portable.by_numpy(1)
for (a, b), expected in zip(cases, before):
    assert (a @ b).shape == expected.shape
    torch.testing.assert_close(a @ b, (a.double() @ b.double()).float(), rtol=1e-5, atol=1e-5)
for found, expected in zip(gradients(), learned):
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
assert not torch.equal(random(300, 300) @ random(300, 300), torch.zeros(300, 300))
c, a, b = random(3, 5), random(3, 4), random(4, 5)
torch.testing.assert_close(torch.addmm(c, a, b, beta=0.5, alpha=2), 0.5 * c + 2 * (a @ b))
torch.testing.assert_close(torch.addmm(c[0], a, b), c[0] + a @ b)
a, b = (random(4, 4, dtype=torch.float64).requires_grad_() for _ in range(2))
assert torch.autograd.gradcheck(torch.mm, (a, b))
half = random(4, 4).bfloat16() @ random(4, 4).bfloat16()
assert half.dtype == torch.bfloat16
whole = torch.arange(6).view(2, 3)
assert torch.equal(whole @ whole.T, torch.tensor([[5, 14], [14, 50]]))
for values in (random(7, 9).abs(), random(9, 7).abs().T, random(20).abs()[::2], random(3, 0), torch.tensor(2.0)):
    correct = values.double().numpy() ** 0.5
    assert torch.equal(values.sqrt(), torch.as_tensor(correct).float()) and values.sqrt().shape == values.shape
    assert torch.equal(values.clone().sqrt_(), values.sqrt())
    assert torch.equal(values.double().sqrt().float(), values.sqrt())
assert torch.tensor(4).sqrt().equal(torch.tensor(2.0)) and torch.tensor([4.0]).bfloat16().sqrt().dtype == torch.bfloat16
assert torch.tensor([-1.0]).sqrt().isnan().all()
assert torch.autograd.gradcheck(torch.sqrt, torch.tensor([0.3, 2.0], dtype=torch.float64, requires_grad=True))
from threadpoolctl import threadpool_info
assert {one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"} == {1}
"""


def test_results_and_gradients() -> None:
    done = subprocess.run([sys.executable, "-W", "error", "-c", CHECKS], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
