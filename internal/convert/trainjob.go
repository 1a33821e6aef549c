// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/millrace-ml/millrace/api/v1alpha1"
)

const (
	nodeContainer = "node"
	// trainerPort is the port of rank 0 in Kubeflow Trainer.
	trainerPort = 29500
)

// trainJob converts a TrainJob: the pods of its runtime, with what its trainer sets, become roles.
func trainJob(c *conversion, spec *fields) {
	ref := spec.object("runtimeRef")
	ref.drop("apiGroup")
	kind, name := ref.text("kind"), ref.text("name")
	if kind == "" {
		kind = "ClusterTrainingRuntime"
	}
	found, ok := c.runtime(kind, name)
	if !ok {
		c.fail(ref.at("name"), "the %s %q is not one that is known: put it into the input (kubectl get %s %s -o yaml)", kind, name, strings.ToLower(kind), name)
		return
	}
	for _, key := range []string{"labels", "annotations"} {
		if more := spec.plain(key); len(more) > 0 {
			maps.Copy(child(c.metadata, key), more)
		}
	}
	spec.lose("initializer", "use an init container in the templates, or a volume that holds the data")
	const patch = "change the templates of the roles instead"
	spec.lose("podTemplateOverrides", patch)
	spec.lose("runtimePatches", patch)
	spec.lose("podSpecOverrides", patch)
	trainer := spec.object("trainer")
	if found.kind == "" && !trainer.has("image") {
		c.lost(trainer.at("image"), "not set; the image is that of the runtime %s in a release of Kubeflow Trainer, and your cluster's may be another", name)
	}
	c.nodes(c.open("runtime "+name, found.spec), trainer)
}

// nodes converts the runtime by the framework its policy names.
func (c *conversion) nodes(spec, trainer *fields) {
	policy := spec.object("mlPolicy")
	count := policy.number("numNodes")
	if n := trainer.number("numNodes"); n != nil {
		count = n
	}
	if count == nil {
		count = new(int32(1))
	}
	set := c.jobSet(spec)
	torch, mpi := policy.object("torch"), policy.object("mpi")
	switch {
	case c.fault != nil:
	case torch.given:
		c.torchNodes(torch, trainer, set, *count)
	case mpi.given:
		c.mpiNodes(mpi, trainer, set, *count)
	default:
		c.fail(spec.path, "runtimes with a policy for torch or mpi can be converted, and this has neither")
	}
	c.podGroup(spec.object("podGroupPolicy"))
}

// torchNodes are a Master, which has the address that all know, and Workers.
func (c *conversion) torchNodes(policy, trainer *fields, set jobSet, count int32) {
	c.job.Spec.Framework = v1alpha1.PyTorch
	node, ok := set.find("node")
	if !ok {
		c.fail(policy.path, "the runtime has no job node")
		return
	}
	block := procs(policy, "numProcPerNode")
	if own := procs(trainer, "numProcPerNode"); own != nil {
		block = own
	}
	c.trainer(trainer, &node, true)
	if block == nil {
		block = new(intstr.FromString("auto"))
	}
	c.job.Spec.PyTorch = &v1alpha1.PyTorchSpec{ProcPerNode: processes(*block, c.main(&node))}
	worker := part{Role: v1alpha1.Role{Name: "Worker", RestartPolicy: node.RestartPolicy}, path: node.path, template: copyOf(node.template)}
	node.Name = "Master"
	port(c.main(&node), torchPortName, trainerPort)
	c.add(node, 1)
	if count > 1 {
		c.add(worker, count-1)
	}
	set.settle("node", map[string]int32{"node": max(1, count)})
}

// mpiNodes are a Launcher, which runs the trainer's command, and Workers. A launcher that is a node is one of their number.
func (c *conversion) mpiNodes(policy, trainer *fields, set jobSet, count int32) {
	c.job.Spec.Framework = v1alpha1.MPI
	block := v1alpha1.MPISpec{
		Implementation: policy.word("mpiImplementation", implementations), SSHAuthMountPath: policy.text("sshAuthMountPath"),
	}
	if policy.flag("runLauncherAsNode") {
		block.Launcher = "Worker"
		count = max(0, count-1)
	}
	launcher, ok := set.find("launcher")
	worker, both := set.find("node")
	if !ok || !both && count > 0 {
		c.fail(policy.path, "the runtime needs the jobs launcher and node")
		return
	}
	slots, own := policy.number("numProcPerNode"), trainer.number("numProcPerNode")
	settings := copyOf(trainer.left)
	c.trainer(trainer, &launcher, true)
	launcher.Name, worker.Name = "Launcher", "Worker"
	c.add(launcher, 1)
	node := &launcher
	if count > 0 {
		c.trainer(&fields{log: c.log, path: trainer.path, left: settings}, &worker, false)
		c.add(worker, count)
		node = &worker
	}
	block.SlotsPerWorker = slotsOf(slots, own, c.main(node))
	c.job.Spec.MPI = &block
	set.settle("launcher", map[string]int32{"launcher": 1, "node": count})
}

// slotsOf are the processes of a node: the job's, or the runtime's, where 1 means one for each GPU.
func slotsOf(runtime, own *int32, container map[string]any) int32 {
	if own != nil {
		return *own
	}
	if runtime != nil && *runtime != 1 {
		return *runtime
	}
	gpus, _ := devices(container)
	return max(1, gpus)
}

// trainer puts what a TrainJob says of its trainer into a container.
func (c *conversion) trainer(trainer *fields, p *part, runs bool) {
	container := c.main(p)
	if image := trainer.text("image"); image != "" {
		container["image"] = image
	}
	for _, key := range []string{"command", "args"} {
		list := trainer.list(key)
		if runs && list != nil {
			container[key] = list
		}
	}
	if resources := trainer.plain("resourcesPerNode"); len(resources) > 0 {
		container["resources"] = resources
	}
	have, _ := container["env"].([]any)
	env := merged(have, trainer.list("env"))
	if len(env) > 0 {
		container["env"] = env
	}
	c.prune(p.template, p.path+".template")
}

// merged are the variables of a runtime, with those of a job in their place or behind them.
func merged(have, more []any) []any {
	for _, item := range more {
		variable, _ := item.(map[string]any)
		i := slices.IndexFunc(have, func(old any) bool {
			o, _ := old.(map[string]any)
			return o["name"] == variable["name"]
		})
		if i >= 0 {
			have[i] = item
			continue
		}
		have = append(have, item)
	}
	return have
}

// processes is the number of processes for each pod as Kubeflow Trainer finds it: one for each CPU where there is no GPU.
func processes(said intstr.IntOrString, container map[string]any) *intstr.IntOrString {
	gpus, cpus := devices(container)
	if said.StrVal == "cpu" || said.StrVal == "auto" && gpus == 0 {
		return new(intstr.FromInt32(max(1, cpus)))
	}
	return &said
}

// devices are the GPUs and CPUs of a container, by its limits or else its requests.
func devices(container map[string]any) (gpus, cpus int32) {
	var typed corev1.Container
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(container, &typed); err != nil {
		return 0, 0
	}
	for _, list := range []corev1.ResourceList{typed.Resources.Requests, typed.Resources.Limits} {
		for name, quantity := range list {
			count := int32(min(max(0, quantity.Value()), 1<<20))
			if name == corev1.ResourceCPU {
				cpus = count
			}
			if strings.Contains(string(name), "gpu") {
				gpus = count
			}
		}
	}
	return gpus, cpus
}
