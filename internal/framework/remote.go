// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package framework

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/millrace-ml/millrace/api/v1alpha1"
)

// Remote is how one pod starts the processes on the others: by ssh, on the hosts of a file.
type Remote struct {
	// Launcher is the role whose pod starts the processes. The others run an ssh server.
	Launcher string
	// Hosts are the hosts of the file in their order, with their slots.
	Hosts func(*Layout) []Host
	// Distributed is true when a job of one pod has nothing to launch.
	Distributed bool
	// Waits is true when the launcher is made only once all others are ready.
	Waits func(*v1alpha1.TrainingJob) bool
}

// Host is a line of the hostfile.
type Host struct {
	Member
	Slots int32
}

// Where launchers find their files, and the options that bridge the moment until a host's name resolves.
const (
	ConfigPath    = "/etc/mpi"
	HostfileName  = "hostfile"
	DiscoveryName = "discover_hosts.sh"

	hostfilePath = ConfigPath + "/" + HostfileName
	sshRetries   = "-o ConnectionAttempts=10"
	rootKeys     = "/root/.ssh"
)

// KeyPath is the directory of the ssh keys in every pod of the job.
func (l *Layout) KeyPath() string {
	if l.Job.Spec.MPI != nil && l.Job.Spec.MPI.SSHAuthMountPath != "" {
		return l.Job.Spec.MPI.SSHAuthMountPath
	}
	return rootKeys
}

// RootKeys is true when root uses the ssh keys, which may then be closed to everybody else.
func (l *Layout) RootKeys() bool { return strings.HasPrefix(l.KeyPath()+"/", "/root/") }

// Remote is how a pod of the job starts processes on the others, or nil where none does.
func (l *Layout) Remote() *Remote {
	if r := l.Row.Remote; r != nil && (!r.Distributed || l.Size() > 1) {
		return r
	}
	return nil
}

// Launches is true for the pod that starts the processes on the others.
func (m Member) Launches() bool { return m.Remote() != nil && m.Remote().Launcher == m.Role.Name }

// Listed is true for a pod that the hostfile names.
func (m Member) Listed() bool {
	return slices.ContainsFunc(m.Remote().Hosts(m.Layout), func(h Host) bool { return h.Name() == m.Name() })
}

// WaitsForOthers is true for the role of a launcher that is made only once all others are ready.
func (l *Layout) WaitsForOthers(r *Role) bool {
	remote := l.Remote()
	return remote != nil && remote.Launcher == r.Name && remote.Waits(l.Job)
}

// Hostfile is the hostfile of the job's MPI implementation.
func (l *Layout) Hostfile() string {
	format := formats[implementation(l.Job)]
	var b strings.Builder
	for _, h := range l.Remote().Hosts(l) {
		fmt.Fprintf(&b, format, h.Host(h.Role, h.Index), h.Slots)
	}
	return b.String()
}

// formats are the forms of a line of the hostfile.
var formats = map[string]string{"OpenMPI": "%s slots=%d\n", "Intel": "%s:%d\n", "MPICH": "%s:%d\n"}

// Discovery is the script that elastic Horovod runs to learn which hosts there are now: the launcher, where it computes
// too, and the workers that are up, in the order of their names.
func (l *Layout) Discovery(up func(Member) bool) string {
	hosts := l.Remote().Hosts(l)
	slices.SortStableFunc(hosts, func(a, b Host) int {
		if one, other := a.Launches(), b.Launches(); one != other {
			if one {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Name(), b.Name())
	})
	var script strings.Builder
	script.WriteString("#!/bin/sh\n")
	for _, h := range hosts {
		if h.Launches() || up(h.Member) {
			script.WriteString("echo " + h.discovered() + "\n")
		}
	}
	return script.String()
}

// discovered is a line of the script's output.
func (h Host) discovered() string {
	host := h.Host(h.Role, h.Index)
	if mpi := h.Job.Spec.MPI; mpi != nil && mpi.Discovery == "HostsAndSlots" {
		return fmt.Sprintf("%s:%d", host, h.Slots)
	}
	return host
}

// mpiHosts are the launcher, where it computes too, and the workers.
func mpiHosts(l *Layout) []Host {
	var hosts []Host
	for _, m := range l.Members() {
		if !m.Launches() || computes(l.Job) {
			hosts = append(hosts, Host{m, slots(l.Job)})
		}
	}
	return hosts
}

// chainerHosts are the worker groups and, last, the master.
func chainerHosts(l *Layout) []Host {
	var hosts, last []Host
	for _, m := range l.Members() {
		h := Host{m, groupSlots(m)}
		if m.Launches() {
			last = append(last, h)
			continue
		}
		hosts = append(hosts, h)
	}
	return append(hosts, last...)
}

// groupSlots are the slots of a group's pods: its own, the job's, or one for each GPU.
func groupSlots(m Member) int32 {
	spec := m.Job.Spec.Chainer
	if spec == nil {
		return gpus(m)
	}
	i := slices.IndexFunc(spec.Groups, func(g v1alpha1.ChainerGroup) bool { return g.Name == m.Role.Name })
	switch {
	case i >= 0:
		return spec.Groups[i].SlotsPerWorker
	case spec.SlotsPerWorker > 0:
		return spec.SlotsPerWorker
	}
	return gpus(m)
}

// gpus is the number of GPUs the main container may use, and 1 without any.
func gpus(m Member) int32 {
	if m.Role.Accelerator != nil {
		return m.Role.Devices()
	}
	containers := m.Role.Template.Spec.Containers
	if m.Role.Main >= len(containers) {
		return 1
	}
	asked := containers[m.Role.Main].Resources.Limits[corev1.ResourceName("nvidia.com/gpu")]
	return max(1, int32(min(asked.Value(), 1024)))
}

func implementation(j *v1alpha1.TrainingJob) string {
	if j.Spec.MPI == nil || j.Spec.MPI.Implementation == "" {
		return "OpenMPI"
	}
	return j.Spec.MPI.Implementation
}

func slots(j *v1alpha1.TrainingJob) int32 {
	if j.Spec.MPI == nil {
		return 1
	}
	return max(1, j.Spec.MPI.SlotsPerWorker)
}

// computes is true for a launcher that takes a share of the work.
func computes(j *v1alpha1.TrainingJob) bool {
	return j.Spec.MPI != nil && j.Spec.MPI.Launcher == "Worker"
}

// launcherWaits: unless the job says otherwise, the launcher is made when its workers can be reached, so that it does not
// use up its restarts on hosts that are on their way.
func launcherWaits(j *v1alpha1.TrainingJob) bool {
	return j.Spec.MPI == nil || j.Spec.MPI.LauncherCreation != "AtStartup"
}

func always(*v1alpha1.TrainingJob) bool { return true }

// launcher is the formula in the pod that starts the processes.
func launcher(f Formula) Formula { return when(Member.Launches, f) }

// coordinator is the formula where the launcher does not compute.
func coordinator(f Formula) Formula {
	return when(func(m Member) bool { return !computes(m.Job) }, f)
}

// mpi is the formula in jobs of an MPI implementation.
func mpi(name string, f Formula) Formula {
	return when(func(m Member) bool { return implementation(m.Job) == name }, f)
}

// mpiSlots is the number of processes each worker takes.
func mpiSlots(m Member) *string { return new(strconv.Itoa(int(slots(m.Job)))) }
