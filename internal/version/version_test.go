// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package version

import (
	"runtime/debug"
	"testing"
)

func TestOf(t *testing.T) {
	commit := &debug.BuildInfo{Settings: []debug.BuildSetting{{Key: "vcs", Value: "git"}, {Key: "vcs.revision", Value: "abc"}}}
	for name, tc := range map[string]struct {
		release string
		info    *debug.BuildInfo
		want    string
	}{
		"a release says its number":         {"v1.2.3", commit, "v1.2.3"},
		"a plain build says its commit":     {"", commit, "abc"},
		"a build without either is unknown": {"", &debug.BuildInfo{}, "unknown"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := of(tc.release, tc.info); got != tc.want {
				t.Errorf("of() = %q, want %q", got, tc.want)
			}
		})
	}
}
