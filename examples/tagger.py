"""Tag the tokens of Python programs (keyword, name, number, ...) with a bidirectional LSTM over the
characters of each line, padded and packed. The programs are Python's own library.

python examples/tagger.py
"""

import io
import keyword
import random
import tokenize

import twofold as torch
import twofold.nn.functional as F
from twofold import nn
from twofold.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

TAGS = ("other", "keyword", "name", "number", "string", "operator", "comment")
KINDS = {tokenize.NUMBER: 3, tokenize.STRING: 4, tokenize.OP: 5, tokenize.COMMENT: 6}


def lines_of(path, most=1500):
    """(characters, tags) of lines of up to 60 characters."""
    with open(path, encoding="utf-8") as file:
        source = file.read()
    lines = source.splitlines()
    tags = [[0] * len(line) for line in lines]
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        kind = KINDS.get(token.type, 0)
        if token.type == tokenize.NAME:
            kind = 1 if keyword.iskeyword(token.string) else 2
        (row, start), (end_row, end) = token.start, token.end
        if kind and row == end_row:
            tags[row - 1][start:end] = [kind] * (end - start)
    pairs = [(line, tag) for line, tag in zip(lines, tags, strict=True) if 5 < len(line) <= 60]
    return [([min(ord(c), 127) for c in line], tag) for line, tag in pairs[:most]]


class Tagger(nn.Module):
    def __init__(self, embedding_dim=24, hidden_dim=48):
        super().__init__()
        self.embedding = nn.Embedding(128, embedding_dim, padding_idx=0)
        self.lstm = nn.LSTM(embedding_dim, hidden_dim, batch_first=True, bidirectional=True)
        self.dropout = nn.Dropout(0.1)
        self.hidden2tag = nn.Linear(2 * hidden_dim, len(TAGS))

    def forward(self, sentences, lengths):
        embeds = self.dropout(self.embedding(sentences))
        packed = pack_padded_sequence(embeds, lengths, batch_first=True, enforce_sorted=False)
        lstm_out, (_, _) = self.lstm(packed)
        lstm_out, _ = pad_packed_sequence(lstm_out, batch_first=True)
        return F.log_softmax(self.hidden2tag(lstm_out), dim=-1)


def collate(batch):
    sentences = [torch.tensor(s) for s, _ in batch]
    tags = [torch.tensor(t) for _, t in batch]
    lengths = torch.tensor([len(s) for s in sentences])
    padded = pad_sequence(sentences, batch_first=True)
    return padded, pad_sequence(tags, batch_first=True, padding_value=-100), lengths


def main(epochs=3, most=1500):
    torch.manual_seed(1)
    data = lines_of(tokenize.__file__, most) + lines_of(random.__file__, most)
    random.Random(0).shuffle(data)
    split = len(data) * 9 // 10
    train, test = data[:split], data[split:]
    loader = torch.data.DataLoader(train, batch_size=32, shuffle=True, collate_fn=collate)
    model = Tagger()
    loss_function = nn.NLLLoss(ignore_index=-100)
    optimizer = torch.optim.RMSprop(model.parameters(), lr=5e-3)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
    for epoch in range(1, epochs + 1):
        model.train()
        for sentences, tags, lengths in loader:
            model.zero_grad()
            scores = model(sentences, lengths)
            loss = loss_function(scores.view(-1, len(TAGS)), tags.view(-1))
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=5.0)
            optimizer.step()
        scheduler.step()
        model.eval()
        with torch.no_grad():
            sentences, tags, lengths = collate(test)
            known = tags != -100
            right = (model(sentences, lengths).argmax(dim=-1) == tags)[known]
            accuracy = right.float().mean().item()
        print(f"epoch {epoch}  loss {loss.item():.3f}  accuracy of characters {accuracy:.1%}")
    return accuracy


if __name__ == "__main__":
    main()
