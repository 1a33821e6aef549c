// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// cgroups are the cluster's control groups: one in a unified hierarchy, else one in each.
func cgroups() ([]string, error) {
	if exists("/sys/fs/cgroup/cgroup.controllers") {
		return []string{"/sys/fs/cgroup" + cgroupRoot}, nil
	}
	hierarchies, err := filepath.Glob("/sys/fs/cgroup/*/cgroup.procs")
	if err != nil {
		return nil, err
	}
	for i := range hierarchies {
		hierarchies[i] = filepath.Dir(hierarchies[i]) + cgroupRoot
	}
	return hierarchies, nil
}

// makeCgroups makes the root that the kubelet insists on finding.
func makeCgroups() error {
	roots, err := cgroups()
	if err != nil {
		return err
	}
	for _, root := range roots {
		if err := os.MkdirAll(root, 0o755); err != nil {
			return err
		}
	}
	return nil
}

// removeCgroups removes the cluster's control groups in every hierarchy. The kernel refuses while a process is dying
// in one, so that is asked for again.
func removeCgroups(ctx context.Context) error {
	roots, err := cgroups()
	if err != nil {
		return err
	}
	for _, root := range roots {
		err := eventually(ctx, 10*time.Second, func() error { return removeTree(root) })
		if err != nil {
			return fmt.Errorf("removing the control group %s: %w", root, err)
		}
	}
	return nil
}

// removeTree removes directories, the deepest first; the files of a control group go with it.
func removeTree(dir string) error {
	entries, err := os.ReadDir(dir)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if !entry.IsDir() {
			continue
		}
		if err := removeTree(filepath.Join(dir, entry.Name())); err != nil {
			return err
		}
	}
	return syscall.Rmdir(dir)
}
