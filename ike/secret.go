package ike

import "github.com/racoon3/racoon/internal/secret"

// Secret is a pre-shared key, password or derived key. It prints as its
// length only (fmt, slog, JSON), and is compared in constant time with Equal.
type Secret = secret.Bytes
