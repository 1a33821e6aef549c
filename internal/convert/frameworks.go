// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"slices"
	"strings"

	"github.com/millrace-ml/millrace/api/v1alpha1"
)

// tensorflow converts what only a TFJob has.
func tensorflow(c *conversion, spec *fields) {
	var block v1alpha1.TensorFlowSpec
	block.SuccessPolicy = spec.word("successPolicy", map[string]string{"AllWorkers": "AllWorkers", "ChiefWorker": ""})
	if spec.flag("enableDynamicWorker") {
		block.ClusterSpec = "Sparse"
	}
	if block != (v1alpha1.TensorFlowSpec{}) {
		c.job.Spec.TensorFlow = &block
	}
}

// mxnet converts what only an MXJob has. A job without a mode that has tuners only tunes.
func mxnet(c *conversion, spec *fields) {
	mode := spec.word("jobMode", map[string]string{"MXTrain": "Train", "MXTune": "Tune"})
	if mode == "" && c.part("Tuner") != nil && c.part("Scheduler") == nil && c.part("Worker") == nil {
		mode = "Tune"
	}
	if mode != "" && mode != "Train" {
		c.job.Spec.MXNet = &v1alpha1.MXNetSpec{Mode: mode}
	}
	spec.lose("successPolicy", "the Scheduler, or without one all Workers, decide success; when tuning, the Tuner does")
}

// tunerLabel keeps a replica spec's label where newer versions have it: MX_CONFIG hands it to TVM.
func tunerLabel(spec *fields, template map[string]any) {
	label := spec.text("label")
	if label == "" {
		return
	}
	meta := child(template, "metadata")
	annotations := child(meta, "annotations")
	if annotations["tuner-server-key"] == nil {
		annotations["tuner-server-key"] = label
	}
	spec.note(spec.at("label"), "is the annotation tuner-server-key of the template")
}

// child is a map in a map, made where there is none.
func child(content map[string]any, key string) map[string]any {
	found, ok := content[key].(map[string]any)
	if !ok {
		found = map[string]any{}
		content[key] = found
	}
	return found
}

var (
	implementations = map[string]string{
		"OpenMPI": "OpenMPI", "open_mpi": "OpenMPI", "Intel": "Intel", "intel_mpi": "Intel", "MPICH": "MPICH",
	}
	creations = map[string]string{"AtStartup": "AtStartup", "WaitForWorkersReady": "WaitForWorkersReady"}
)

// mpi converts what only an MPIJob has.
func mpi(c *conversion, spec *fields) {
	var block v1alpha1.MPISpec
	for _, key := range []string{"mpiDistribution", "mpiImplementation"} {
		if found := spec.word(key, implementations); found != "" {
			block.Implementation = found
		}
	}
	if slots := spec.number("slotsPerWorker"); slots != nil {
		block.SlotsPerWorker = *slots
	}
	block.SSHAuthMountPath = spec.text("sshAuthMountPath")
	block.LauncherCreation = spec.word("launcherCreationPolicy", creations)
	if spec.flag("runLauncherAsWorker") {
		block.Launcher = "Worker"
	}
	c.mainContainer(spec)
	if c.row.exec {
		c.remote("Launcher")
		c.computing(&block)
		block.Discovery = "HostsAndSlots"
	}
	if block != (v1alpha1.MPISpec{}) {
		c.job.Spec.MPI = &block
	}
}

// mainContainer puts the container of Workers that runs MPI first, where a TrainingJob looks for it. In the Launcher the
// first one has been that already: the original means it for kubectl exec.
func (c *conversion) mainContainer(spec *fields) {
	name := spec.text("mainContainer")
	if name == "" {
		return
	}
	for i := range c.parts {
		if c.parts[i].Name == "Worker" && !first(podOf(&c.parts[i]), name) {
			c.lost(spec.at("mainContainer"), "role %s has no container %s; its first container is the main one", c.parts[i].Name, name)
		}
	}
}

// computing is about a launcher that has GPUs: the original lists it in the hostfile then.
func (c *conversion) computing(block *v1alpha1.MPISpec) {
	p := c.part("Launcher")
	if p == nil || block.Launcher != "" || !slices.ContainsFunc(containersOf(podOf(p)), hasGPU) {
		return
	}
	block.Launcher = "Worker"
	c.note(p.path, "has GPUs, so that it computes as well: mpi.launcher is Worker")
}

func hasGPU(container map[string]any) bool {
	resources, _ := container["resources"].(map[string]any)
	limits, _ := resources["limits"].(map[string]any)
	for name := range limits {
		if strings.Contains(name, "gpu") {
			return true
		}
	}
	return false
}
