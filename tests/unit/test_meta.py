"""First-order meta-learning on a linear function, against an explicit loop in numpy."""

import numpy as np
import pytest
import torch
from torch import nn

from grmp_plugin.training.meta import Batch, Task, displace, inner_steps, outer_step

RATE = 0.05


def batches(count, seed):
    rng = np.random.default_rng(seed)
    return [(rng.standard_normal((4, 3)), rng.random(4)) for _ in range(count)]


def as_task(support, query):
    def convert(some):
        return [Batch(torch.from_numpy(x), torch.from_numpy(y)) for x, y in some]

    return Task(convert(support), convert(query))


@pytest.fixture
def linear():
    torch.manual_seed(3)
    return nn.Linear(3, 1).double()


def squared_error(linear):
    return lambda batch: (linear(batch.pixels)[:, 0] - batch.quality).square().mean()


def by_hand(linear, order):
    """Plain gradient descent on one batch after another: weight, bias, and the loss before each step."""
    weight, bias = (p.detach().numpy().copy() for p in (linear.weight[0], linear.bias))
    losses = []
    for x, y in order:
        error = x @ weight + bias - y
        losses.append(np.mean(error**2))
        weight -= RATE * 2 / len(y) * x.T @ error
        bias -= RATE * 2 / len(y) * error.sum()
    return weight, bias, losses


@pytest.mark.parametrize(
    ("supports", "queries", "order"),
    [
        (1, 1, "s0 q0"),
        (2, 2, "s0 q0 s1 q1"),
        (3, 2, "s0 q0 s1 q1 s2 q0"),
        (5, 2, "s0 q0 s1 q1 s2 q0 s3 q1 s4 q0"),
        (2, 4, "s0 q0 s1 q1"),  # the rest of the query is not used
    ],
)
def test_inner_steps(linear, supports, queries, order):
    data = {"s": batches(supports, 1), "q": batches(queries, 2)}
    steps = [data[name[0]][int(name[1])] for name in order.split()]
    weight, bias, expected = by_hand(linear, steps)
    seen = []
    loss = squared_error(linear)

    def spied(batch):
        seen.append(batch.pixels.numpy())
        return loss(batch)

    optimizer = torch.optim.SGD(linear.parameters(), lr=RATE)
    losses = inner_steps(as_task(data["s"], data["q"]), spied, optimizer)
    assert len(seen) == len(steps)
    assert all(np.array_equal(found, x) for found, (x, _) in zip(seen, steps, strict=True))
    np.testing.assert_allclose(linear.weight[0].detach(), weight, rtol=1e-12)
    np.testing.assert_allclose(linear.bias.detach(), bias, rtol=1e-12)
    np.testing.assert_allclose(losses.support, expected[0::2], rtol=1e-12)
    np.testing.assert_allclose(losses.query, expected[1::2], rtol=1e-12)
    assert isinstance(losses.support[0], float)


def test_old_gradients_have_no_effect(linear):
    support, query = batches(2, 1), batches(1, 2)
    weight, _, _ = by_hand(linear, [support[0], query[0], support[1], query[0]])
    for parameter in linear.parameters():
        parameter.grad = torch.full_like(parameter, 1e6)
    optimizer = torch.optim.SGD(linear.parameters(), lr=RATE)
    inner_steps(as_task(support, query), squared_error(linear), optimizer)
    np.testing.assert_allclose(linear.weight[0].detach(), weight, rtol=1e-12)


def test_only_the_optimizers_parameters_move(linear):
    bias = linear.bias.detach().clone()
    weight = linear.weight.detach().clone()
    optimizer = torch.optim.SGD([linear.weight], lr=RATE)
    inner_steps(as_task(batches(1, 1), batches(1, 2)), squared_error(linear), optimizer)
    assert torch.equal(linear.bias, bias)
    assert not torch.equal(linear.weight, weight)


def test_no_graph_is_kept(linear):
    """First order: each step's graph is freed, and no gradient flows to the outer step."""
    theta = [p.detach().clone() for p in linear.parameters()]
    values = []
    loss = squared_error(linear)

    def spied(batch):
        values.append(loss(batch))
        return values[-1]

    optimizer = torch.optim.SGD(linear.parameters(), lr=RATE)
    inner_steps(as_task(batches(2, 1), batches(1, 2)), spied, optimizer)
    assert len(values) == 4
    for value in values:
        with pytest.raises(RuntimeError, match="second time"):
            value.backward()
    adapted = list(linear.parameters())
    assert all(p.is_leaf for p in adapted)
    moved = displace(None, theta, adapted)
    assert not any(t.requires_grad for t in [*moved, *outer_step(theta, moved, 1, 0.5)])


def test_displacements_add_up():
    theta = [torch.tensor([1.0, 2.0]), torch.tensor([[3.0]])]
    first = displace(None, theta, [torch.tensor([0.0, 4.0]), torch.tensor([[3.5]])])
    assert [d.tolist() for d in first] == [[1, -2], [[-0.5]]]
    both = displace(first, theta, [torch.tensor([0.5, 2.0]), torch.tensor([[1.0]])])
    assert [d.tolist() for d in both] == [[1.5, -2], [[1.5]]]
    # Arguments are not written to, as a state that is being saved may refer to them.
    assert [d.tolist() for d in first] == [[1, -2], [[-0.5]]]
    assert [t.tolist() for t in theta] == [[1, 2], [[3]]]


def test_a_sum_does_not_follow_what_was_added():
    theta, adapted = [torch.zeros(1)], [torch.ones(1)]
    moved = displace(None, theta, adapted)
    adapted[0] += 1
    assert moved[0].item() == -1


def test_outer_step():
    theta = [torch.tensor([1.0, 2.0]), torch.tensor([[3.0]])]
    moved = [torch.tensor([4.0, -8.0]), torch.tensor([[2.0]])]
    stepped = outer_step(theta, moved, tasks=4, beta=0.5)
    assert [t.tolist() for t in stepped] == [[0.5, 3], [[2.75]]]
    assert [t.tolist() for t in theta] == [[1, 2], [[3]]]
    assert [d.tolist() for d in moved] == [[4, -8], [[2]]]


def test_outer_rate_of_one_goes_to_the_mean_of_the_tasks():
    theta = [torch.tensor([1.0, -2.0])]
    ends = [[torch.tensor([3.0, 0.0])], [torch.tensor([2.0, 5.0])], [torch.tensor([-2.0, 1.0])]]
    moved = None
    for end in ends:
        moved = displace(moved, theta, end)
    assert outer_step(theta, moved, 3, 1.0)[0].tolist() == pytest.approx([1, 2])


def test_tensors_must_correspond():
    with pytest.raises(ValueError, match="argument 2"):
        displace(None, [torch.zeros(1), torch.zeros(1)], [torch.zeros(1)])
    with pytest.raises(ValueError, match="argument 2"):
        outer_step([torch.zeros(1), torch.zeros(1)], [torch.zeros(1)], 1, 1.0)


def test_losses_of_all_inner_steps_leave_the_device_together(linear, transfers):
    task = as_task(batches(4, 1), batches(2, 2))
    losses = inner_steps(task, squared_error(linear), torch.optim.SGD(linear.parameters(), RATE))
    assert len(losses.support) == len(losses.query) == 4
    assert transfers == ["tolist"]
