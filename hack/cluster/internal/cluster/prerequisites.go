// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"github.com/millrace-ml/millrace/hack/cluster/internal/command"
)

// tool is a program of the machine that the cluster or the images need, and the Debian package it comes in.
type tool struct{ path, debian string }

var tools = []tool{
	{"buildah", "buildah"},
	{"ip", "iproute2"},
	{"iptables", "iptables"},
	{"mmdebstrap", "mmdebstrap"},
	{"nft", "nftables"},
	{"runc", "runc"},
	{"/usr/lib/cni/bridge", "containernetworking-plugins"},
}

// Prerequisites installs the packages that are missing, where it can, and says everything that keeps this machine from
// running containers.
func (c *Cluster) Prerequisites(ctx context.Context) error {
	if problems := machineProblems(); len(problems) > 0 {
		return fmt.Errorf("this machine cannot run the local cluster, but KUBECONFIG=FILE make ... uses another:\n  %s",
			strings.Join(problems, "\n  "))
	}
	absent := absentPackages()
	if len(absent) == 0 {
		return nil
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		return fmt.Errorf("install what these Debian packages hold, by the means of this system: %s", strings.Join(absent, ", "))
	}
	return c.console.Step("Installing "+strings.Join(absent, ", "), func() error {
		log := c.paths.InCache("logs", "apt.log")
		quiet := []string{"DEBIAN_FRONTEND=noninteractive"}
		if err := command.Logged(ctx, log, quiet, "apt-get", "update"); err != nil {
			return err
		}
		return command.Logged(ctx, log, quiet, "apt-get",
			append([]string{"install", "--yes", "--no-install-recommends"}, absent...)...)
	})
}

func absentPackages() []string {
	var absent []string
	for _, t := range tools {
		if _, err := exec.LookPath(t.path); err != nil {
			absent = append(absent, t.debian)
		}
	}
	return absent
}

// machineProblems are the things no package can mend, all of them at once.
func machineProblems() []string {
	checks := []struct {
		ok   bool
		says string
	}{
		{runtime.GOOS == "linux", "it runs " + runtime.GOOS + "; containers need Linux"},
		{os.Geteuid() == 0, "containers need root: run make as root (sudo -E make ...)"},
		{exists("/sys/fs/cgroup/cgroup.controllers") || exists("/sys/fs/cgroup/memory"), "no memory cgroup is mounted below /sys/fs/cgroup"},
		{exists("/proc/self/ns/net") && exists("/proc/self/ns/pid"), "the kernel has no network or process namespaces"},
		{exists("/proc/sys/net/bridge") || loadable("br_netfilter"), "the kernel module br_netfilter is absent"},
	}
	var problems []string
	for _, check := range checks {
		if !check.ok {
			problems = append(problems, check.says)
		}
	}
	return problems
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// loadable loads a kernel module and says whether that worked.
func loadable(module string) bool {
	return os.Geteuid() == 0 && exec.Command("modprobe", module).Run() == nil
}
