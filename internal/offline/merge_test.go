// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package offline_test

import (
	"testing"

	"github.com/millrace-ml/millrace/internal/offline"
)

// FuzzObjects reads any text: nothing panics, and every problem has a place.
func FuzzObjects(f *testing.F) {
	for _, seed := range []string{
		"a: &a {b: 1, c: {<<: *a, b: 2}}",
		"a: &a {<<: *a, b: 2, b: 3}",
		"x: &x [a]\ny: {<<: *x, <<: 1}",
		"x: &x {a: 1}\ny: {<<: [*x, {a: 2}], a: 3}\n",
		"{<<: {kind: A, apiVersion: b}, kind: B}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, document := range offline.Split("fuzz", text) {
			_, problems := document.Objects()
			for _, p := range problems {
				if p.Line < 1 || p.Message == "" {
					t.Errorf("a problem without a place or a word: %+v", p)
				}
			}
		}
	})
}
