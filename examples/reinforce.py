"""Teach a policy to balance a pole by REINFORCE; the cart and the pole are in this file.

python examples/reinforce.py
"""

import math
import random
from collections import deque

import twofold as torch
import twofold.nn.functional as F
from twofold import nn
from twofold.distributions import Categorical


class CartPole:
    """A pole on a cart (Barto, Sutton, Anderson 1983): +1 for each step that it stands."""

    def reset(self, rng):
        self.state = [rng.uniform(-0.05, 0.05) for _ in range(4)]
        self.steps = 0
        return self.state

    def step(self, action):
        x, v, angle, turn = self.state
        force = 10.0 if action == 1 else -10.0
        cos, sin = math.cos(angle), math.sin(angle)
        temp = (force + 0.05 * turn**2 * sin) / 1.1
        angle_acc = (9.8 * sin - cos * temp) / (0.5 * (4 / 3 - 0.1 * cos**2 / 1.1))
        acc = temp - 0.05 * angle_acc * cos / 1.1
        self.state = [x + 0.02 * v, v + 0.02 * acc, angle + 0.02 * turn, turn + 0.02 * angle_acc]
        self.steps += 1
        fallen = abs(self.state[0]) > 2.4 or abs(self.state[2]) > 12 * math.pi / 180
        return self.state, 1.0, fallen or self.steps >= 200


class Policy(nn.Module):
    def __init__(self):
        super().__init__()
        self.affine1 = nn.Linear(4, 64)
        self.affine2 = nn.Linear(64, 2)
        self.saved_log_probs = []
        self.rewards = []

    def forward(self, x):
        return F.softmax(self.affine2(F.relu(self.affine1(x))), dim=1)


def select_action(policy, state):
    state = torch.tensor(state).float().unsqueeze(0)
    m = Categorical(policy(state))
    action = m.sample()
    policy.saved_log_probs.append(m.log_prob(action))
    return action.item()


def finish_episode(policy, optimizer, gamma=0.99):
    R = 0.0
    returns = deque()
    for r in policy.rewards[::-1]:
        R = r + gamma * R
        returns.appendleft(R)
    returns = torch.tensor(list(returns))
    returns = (returns - returns.mean()) / (returns.std() + 1e-6)
    policy_loss = []
    for log_prob, R in zip(policy.saved_log_probs, returns, strict=True):
        policy_loss.append(-log_prob * R)
    optimizer.zero_grad()
    loss = torch.cat(policy_loss).sum()
    loss.backward()
    optimizer.step()
    del policy.rewards[:]
    del policy.saved_log_probs[:]


def main(episodes=150):
    torch.manual_seed(3)
    rng = random.Random(3)
    env, policy = CartPole(), Policy()
    optimizer = torch.optim.Adam(policy.parameters(), lr=1e-2)
    running = 10.0
    for episode in range(1, episodes + 1):
        state, total, done = env.reset(rng), 0.0, False
        while not done:
            state, reward, done = env.step(select_action(policy, state))
            policy.rewards.append(reward)
            total += reward
        running = 0.05 * total + 0.95 * running
        finish_episode(policy, optimizer)
        if episode % 25 == 0:
            print(f"episode {episode}  last {total:.0f}  average {running:.1f}")
    return running


if __name__ == "__main__":
    main()
