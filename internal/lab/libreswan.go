//go:build linux

package lab

import "path/filepath"

func libreswanRoot() string { return filepath.Join(cacheDir(), "libreswan") }
