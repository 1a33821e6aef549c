//go:build linux

// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package big

func few(a, b, c, d, e int) (int, int, error) { return a + b + c + d, e, nil }

func many(a, b, c, d, e, f int) (int, int, int, error) { return a + b, c + d, e + f, nil }

func flat(n int) int {
	if n > 0 {
		for i := range n {
			switch {
			case i > 3:
				return func() int {
					if i > 4 {
						return i
					}
					return n
				}()
			}
		}
	} else if n < -5 {
		return 5
	} else if n < -4 {
		return 4
	} else if n < -3 {
		return 3
	}
	return 0
}

func deep(n int) int {
	if n > 0 {
		for i := range n {
			if i > 3 {
				if i > 4 {
					return i
				}
			}
		}
	}
	return 0
}
