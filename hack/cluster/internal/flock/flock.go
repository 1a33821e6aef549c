// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

// Package flock keeps two runs of the program from making the same thing at once.
package flock

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// Lock waits for the exclusive lock on a file, making the file if need be, and returns its release.
// The kernel releases the lock of a process that dies, so no stale lock is ever left.
func Lock(path string) (unlock func(), err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("locking %s: %w", path, err)
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("locking %s: %w", path, err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX); err != nil {
		file.Close()
		return nil, fmt.Errorf("locking %s: %w", path, err)
	}
	return func() { file.Close() }, nil
}
