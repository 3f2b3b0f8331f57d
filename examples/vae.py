"""Train a variational autoencoder on handwritten digits, and let it draw some.

python examples/vae.py
"""

from sklearn.datasets import load_digits

import twofold as torch
import twofold.nn.functional as F
from twofold import nn
from twofold.data import DataLoader, TensorDataset


class VAE(nn.Module):
    def __init__(self, latent=8):
        super().__init__()
        self.fc1 = nn.Linear(64, 128)
        self.fc21 = nn.Linear(128, latent)
        self.fc22 = nn.Linear(128, latent)
        self.fc3 = nn.Linear(latent, 128)
        self.fc4 = nn.Linear(128, 64)
        self.latent = latent

    def encode(self, x):
        h1 = F.relu(self.fc1(x))
        return self.fc21(h1), self.fc22(h1)

    def reparameterize(self, mu, logvar):
        std = torch.exp(0.5 * logvar)
        eps = torch.randn_like(std)
        return mu + eps * std

    def decode(self, z):
        h3 = F.relu(self.fc3(z))
        return torch.sigmoid(self.fc4(h3))

    def forward(self, x):
        mu, logvar = self.encode(x.view(-1, 64))
        z = self.reparameterize(mu, logvar)
        return self.decode(z), mu, logvar


def loss_function(recon_x, x, mu, logvar):
    bce = F.binary_cross_entropy(recon_x, x.view(-1, 64), reduction="sum")
    kld = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
    return bce + kld


def show(image):
    for row in image.view(8, 8).tolist():
        print("".join(" .:-=+*#%@"[min(9, int(v * 10))] for v in row))


def main(epochs=40):
    torch.manual_seed(1)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    images = torch.tensor(load_digits().data / 16.0, dtype=torch.float32)
    train_loader = DataLoader(TensorDataset(images), batch_size=64, shuffle=True)
    model = VAE().to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for epoch in range(1, epochs + 1):
        model.train()
        train_loss = 0.0
        for (data,) in train_loader:
            data = data.to(device)
            optimizer.zero_grad()
            recon_batch, mu, logvar = model(data)
            loss = loss_function(recon_batch, data, mu, logvar)
            loss.backward()
            train_loss += loss.item()
            optimizer.step()
        if epoch == 1 or epoch % 10 == 0:
            print(f"epoch {epoch:3d}  average loss {train_loss / len(train_loader.dataset):.3f}")
    model.eval()
    with torch.no_grad():
        sample = model.decode(torch.randn(2, model.latent, device=device)).cpu()
    for image in sample:
        show(image)
    return train_loss / len(train_loader.dataset)


if __name__ == "__main__":
    main()
