// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/millrace-ml/millrace/hack/cluster/internal/command"
)

// shared are the directories that Kubernetes and its network plugins use whatever they are told.
var shared = []string{"/var/lib/kubelet/device-plugins", "/var/lib/cni/results", "/var/lib/cni/cache"}

// Down stops the cluster and leaves nothing behind but the cache.
func (c *Cluster) Down(ctx context.Context) error {
	if _, err := os.Stat(c.paths.State); os.IsNotExist(err) {
		c.console.Say("No local cluster in %s", c.paths.State)
		return nil
	}
	return c.console.Step("Removing the local cluster", func() error { return c.remove(ctx) })
}

func (c *Cluster) remove(ctx context.Context) error {
	for _, comp := range slices.Backward(c.components()) {
		if err := c.supervisor.Stop(comp.name, comp.graceTime()); err != nil {
			return err
		}
	}
	if err := c.endContainers(ctx); err != nil {
		return fmt.Errorf("ending the containers: %w", err)
	}
	if err := unmountBelow(ctx, c.paths.State); err != nil {
		return err
	}
	if err := c.removeNetwork(ctx); err != nil {
		return fmt.Errorf("removing the cluster's networks: %w", err)
	}
	if err := removeCgroups(ctx); err != nil {
		return err
	}
	for _, dir := range append(shared, c.paths.State) {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	return nil
}

// endContainers kills every process in the cluster's control groups, and the shims, which name this cluster's socket.
// They are asked for again until there are none: a shim may be starting a process while its list is read.
func (c *Cluster) endContainers(ctx context.Context) error {
	return eventually(ctx, time.Minute, func() error {
		left, err := c.strays()
		if err != nil || len(left) == 0 {
			return err
		}
		for _, pid := range left {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
				return permanent{fmt.Errorf("killing process %d: %w", pid, err)}
			}
		}
		return fmt.Errorf("%d processes do not end", len(left))
	})
}

func (c *Cluster) strays() ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var found []int
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err == nil && c.owns(pid) {
			found = append(found, pid)
		}
	}
	return found, nil
}

func (c *Cluster) owns(pid int) bool {
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	if stat, err := os.ReadFile(filepath.Join(dir, "stat")); err != nil || strings.Contains(string(stat), ") Z ") {
		return false // gone, or waiting for its parent to notice
	}
	groups, _ := os.ReadFile(filepath.Join(dir, "cgroup")) // a process that is gone is not ours
	if strings.Contains(string(groups), ":"+cgroupRoot+"/") {
		return true
	}
	arguments, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
	words := strings.Split(string(arguments), "\x00")
	return strings.HasPrefix(filepath.Base(words[0]), "containerd-shim") &&
		slices.Contains(words, c.paths.InState("run", "containerd.sock"))
}

// unmountBelow unmounts everything below a directory, the deepest first.
func unmountBelow(ctx context.Context, dir string) error {
	content, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return err
	}
	var points []string
	for line := range strings.Lines(string(content)) {
		fields := strings.Fields(line)
		if len(fields) > 1 && strings.HasPrefix(fields[1], dir+"/") {
			points = append(points, fields[1])
		}
	}
	slices.SortFunc(points, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	for _, point := range points {
		// Lazily: what still has a file open there is about to end.
		if err := command.Run(ctx, "umount", "--lazy", point); err != nil {
			return err
		}
	}
	return nil
}
