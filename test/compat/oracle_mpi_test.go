// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package compat

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// The contracts of operators that start processes on other pods: MPIJob v1 of the training operator (kubectl exec), MPIJob
// v2beta1 of the MPI operator (ssh), and ChainerJob.

func (o original) slots() int32 {
	if o.Spec.SlotsPerWorker == nil {
		return 1
	}
	return *o.Spec.SlotsPerWorker
}

// mpiPods are a launcher and its workers.
func mpiPods(o original, launcher, worker func(spec *replicaSpec) env) []member {
	all := without(replicasOf(o.Spec.MPIReplicaSpecs, 0), "launcher", "worker")
	spec := find(all, "launcher").replicaSpec
	pods := []member{{o.Name + "-launcher", spec, launcher(spec), first}}
	if workers := find(all, "worker"); workers != nil {
		for i := range workers.count {
			pods = append(pods, member{podName(o, "worker", i), workers.replicaSpec, worker(workers.replicaSpec), first})
		}
	}
	return pods
}

// workers are the names of the workers' pods.
func workers(o original) []string {
	var found []string
	for _, m := range mpiPods(o, nothing, nothing)[1:] {
		found = append(found, m.name)
	}
	return found
}

func nothing(*replicaSpec) env { return nil }

func execPods(o original) []member {
	pods := mpiPods(o, func(spec *replicaSpec) env {
		adds := env{"OMPI_MCA_plm_rsh_agent": "/etc/mpi/kubexec.sh", "OMPI_MCA_orte_default_hostfile": "/etc/mpi/hostfile"}
		users := envOf(spec.Template.Spec.Containers[0])
		intel := env{"I_MPI_HYDRA_BOOTSTRAP": "rsh", "I_MPI_HYDRA_BOOTSTRAP_EXEC": "/etc/mpi/kubexec.sh"}
		for name, value := range intel {
			if _, set := users[name]; !set {
				adds[name] = value
			}
		}
		if !hasGPU(spec.Template.Spec.Containers) {
			adds["NVIDIA_VISIBLE_DEVICES"], adds["NVIDIA_DRIVER_CAPABILITIES"] = "", ""
		}
		return adds
	}, nothing)
	if main := o.Spec.MainContainer; main != "" {
		for i := range pods[1:] {
			pods[1+i].only = main
		}
	}
	return pods
}

func hasGPU(containers []corev1.Container) bool {
	return slices.ContainsFunc(containers, func(c corev1.Container) bool {
		for name := range c.Resources.Limits {
			if strings.HasSuffix(string(name), ".com/gpu") || strings.Contains(string(name), "gpu") {
				return true
			}
		}
		return false
	})
}

func execFiles(o original) map[string]string {
	launcher := find(replicasOf(o.Spec.MPIReplicaSpecs, 0), "launcher")
	hostfile, discover := "", "#!/bin/sh"
	if hasGPU(launcher.Template.Spec.Containers) {
		hostfile = fmt.Sprintf("%s-launcher slots=%d\n", o.Name, o.slots())
		discover += fmt.Sprintf("\necho %s-launcher:%d\n", o.Name, o.slots())
	}
	for _, name := range workers(o) {
		hostfile += fmt.Sprintf("%s slots=%d\n", name, o.slots())
	}
	for _, name := range slices.Sorted(slices.Values(workers(o))) {
		discover += fmt.Sprintf("\necho %s:%d", name, o.slots())
	}
	return map[string]string{"hostfile": hostfile, "discover_hosts.sh": discover}
}

const retries = "-o ConnectionAttempts=10"

func sshPods(o original) []member {
	return mpiPods(o, func(*replicaSpec) env {
		adds := env{"K_MPI_JOB_ROLE": "launcher"}
		switch o.Spec.MPIImplementation {
		case "Intel":
			adds["I_MPI_HYDRA_HOST_FILE"] = "/etc/mpi/hostfile"
			adds["I_MPI_HYDRA_BOOTSTRAP_EXEC_EXTRA_ARGS"] = retries
			adds["I_MPI_PERHOST"] = itoa(o.slots())
		case "MPICH":
			adds["HYDRA_HOST_FILE"], adds["HYDRA_LAUNCH_EXTRA_ARGS"] = "/etc/mpi/hostfile", retries
		default:
			adds["OMPI_MCA_orte_keep_fqdn_hostnames"] = "true"
			adds["OMPI_MCA_orte_default_hostfile"] = "/etc/mpi/hostfile"
			adds["OMPI_MCA_plm_rsh_args"] = retries
			adds["OMPI_MCA_orte_set_default_slots"] = itoa(o.slots())
		}
		if !o.Spec.RunLauncherAsWorker {
			adds["NVIDIA_VISIBLE_DEVICES"], adds["NVIDIA_DRIVER_CAPABILITIES"] = "", ""
		}
		return adds
	}, func(*replicaSpec) env { return env{"K_MPI_JOB_ROLE": "worker"} })
}

func sshFiles(o original) map[string]string {
	form := "%s slots=%d\n"
	if o.Spec.MPIImplementation == "Intel" || o.Spec.MPIImplementation == "MPICH" {
		form = "%s:%d\n"
	}
	host := func(pod string) string { return fmt.Sprintf("%s.%s.%s.svc", pod, o.Name, o.Namespace) }
	hostfile, discover := "", "#!/bin/sh\n"
	if o.Spec.RunLauncherAsWorker {
		hostfile = fmt.Sprintf(form, host(o.Name+"-launcher"), o.slots())
		discover += fmt.Sprintf("echo %s\n", host(o.Name+"-launcher"))
	}
	for _, name := range workers(o) {
		hostfile += fmt.Sprintf(form, host(name), o.slots())
	}
	for _, name := range slices.Sorted(slices.Values(workers(o))) {
		discover += fmt.Sprintf("echo %s\n", host(name))
	}
	return map[string]string{"hostfile": hostfile, "discover_hosts.sh": discover}
}

// chainerPods are the master and the worker sets. A job without worker sets is not distributed: it is left as it is.
func chainerPods(o original) []member {
	var adds env
	if len(o.Spec.WorkerSets) > 0 {
		adds = env{
			"KUBECTL_DIR":                       "/kubeflow/chainer-operator/kube",
			"OMPI_MCA_plm_rsh_agent":            "/kubeflow/chainer-operator/assets/kubexeb.sh",
			"OMPI_MCA_orte_keep_fqdn_hostnames": "t",
			"OMPI_MCA_orte_default_hostfile":    "/kubeflow/chainer-operator/generated/hostfile",
			"OMPI_MCA_btl_tcp_if_exclude":       "lo,docker0",
		}
	}
	pods := []member{{o.Name + "-master", o.Spec.Master, adds, ""}}
	for _, set := range replicasOf(o.Spec.WorkerSets, 1) {
		for i := range set.count {
			pods = append(pods, member{o.Name + "-workerset-" + set.name + "-" + strconv.Itoa(i), set.replicaSpec, adds, ""})
		}
	}
	return pods
}

func chainerFiles(o original) map[string]string {
	if len(o.Spec.WorkerSets) == 0 {
		return nil
	}
	hostfile := ""
	for _, set := range replicasOf(o.Spec.WorkerSets, 1) {
		for i := range set.count {
			hostfile += fmt.Sprintf("%s-workerset-%s-%d slots=%d\n", o.Name, set.name, i, chainerSlots(set.replicaSpec))
		}
	}
	hostfile += fmt.Sprintf("%s-master slots=%d\n", o.Name, chainerSlots(o.Spec.Master))
	return map[string]string{"hostfile": hostfile}
}

// chainerSlots are those of the spec, or the GPUs of the container chainer, or 1.
func chainerSlots(spec *replicaSpec) int64 {
	if spec.MPIConfig.Slots != nil {
		return int64(*spec.MPIConfig.Slots)
	}
	for _, c := range spec.Template.Spec.Containers {
		if gpus, asked := c.Resources.Limits["nvidia.com/gpu"]; asked && (c.Name == "chainer" || c.Name == "") {
			return gpus.Value()
		}
	}
	return 1
}
