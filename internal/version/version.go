// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

// Package version says which build of Millrace this is.
package version

import "runtime/debug"

// Version is set at link time (-X); a build without it names its commit.
var Version string

// String is the release, or the commit the binary was built from, or "unknown".
func String() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	return of(Version, info)
}

func of(release string, info *debug.BuildInfo) string {
	if release != "" {
		return release
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value
		}
	}
	return "unknown"
}
