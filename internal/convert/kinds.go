// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"fmt"
	"slices"
	"strings"

	"github.com/millrace-ml/millrace/api/v1alpha1"
)

// row is what there is to know about a kind, or about some versions of it.
type row struct {
	kind        string
	apiVersions []string
	framework   v1alpha1.Framework
	// specs is the field of spec with the replica specs.
	specs string
	// roles are their names in the order in which the TrainingJob lists them.
	roles []string
	// needs is the role without which there is no job.
	needs string
	// replicas are the numbers of replicas of roles that name none, where that is not 1.
	replicas map[string]int32
	// restart is the original's restart policy of roles that name none.
	restart map[string]v1alpha1.RestartPolicy
	// fallback is what a TrainingJob's roles do that name none.
	fallback v1alpha1.RestartPolicy
	// clean is the original's clean-up policy where a job names none.
	clean v1alpha1.CleanPods
	// retries is how often the original restarts where a job does not say.
	retries retries
	// limit is the field with that number; spec.runPolicy.backoffLimit when left out.
	limit string
	// together is true where a TrainingJob restarts all replicas at once.
	together bool
	// batch is the role that the original runs as a batch/v1 Job.
	batch string
	// spared is the role whose failures the original ignores.
	spared string
	// exec is true when the original starts processes in pods through the API server and not by ssh.
	exec bool
	// over are variables that the original puts over the user's, where a TrainingJob takes the user's.
	over []string
	// container is the name of the main container of a template that names none.
	container string
	// own converts what only this kind has.
	own step
	// replica converts what only this kind's replica specs have.
	replica func(spec *fields, template map[string]any)
	// steps are the conversion of a kind of another shape; replicated when left out.
	steps []step
}

// step converts a part of a spec.
type step func(c *conversion, spec *fields)

// replicated are the steps of a kind that maps names of roles to replica specs.
var replicated = []step{rolesOf, own, policyOf}

// retries is a number of restarts and whose number it is.
type retries struct {
	max int32
	why string
}

var (
	// endless is the most a TrainingJob may restart.
	endless = retries{mostRestarts, "the original restarts without end, and this is the most there is"}
	asJob   = retries{6, "as the original, a batch/v1 Job"}
)

const mostRestarts = 10000

// oldest are the versions before v1, whose replica specs have the same shape.
var oldest = []string{"kubeflow.org/v1alpha2", "kubeflow.org/v1beta1", "kubeflow.org/v1beta2"}

const v1 = "kubeflow.org/v1"

var (
	never     = map[string]v1alpha1.RestartPolicy{"": v1alpha1.RestartNever}
	onFailure = map[string]v1alpha1.RestartPolicy{"": v1alpha1.RestartOnFailure}
)

// Variables by which a launcher uses kubectl exec, is kept from GPUs, and lets ssh be patient, and by which logs are prompt.
var (
	execVariables   = []string{"KUBECTL_DIR", "OMPI_MCA_plm_rsh_agent"}
	gpuVariables    = []string{"NVIDIA_VISIBLE_DEVICES", "NVIDIA_DRIVER_CAPABILITIES"}
	sshVariables    = []string{"OMPI_MCA_plm_rsh_args", "I_MPI_HYDRA_BOOTSTRAP_EXEC_EXTRA_ARGS", "HYDRA_LAUNCH_EXTRA_ARGS"}
	pythonVariables = []string{"PYTHONUNBUFFERED"}
)

// rows is the table. What the originals do is in their API types and defaults: training-operator v1.8 and v1.9, mpi-operator
// v0.3 and v0.6, mxnet-operator v1beta1, chainer-operator v1alpha1, trainer v2.
var rows = []row{
	{
		kind: "PyTorchJob", apiVersions: append([]string{v1}, oldest...), framework: v1alpha1.PyTorch,
		specs: "pytorchReplicaSpecs", roles: []string{"Master", "Worker"}, container: "pytorch",
		restart: onFailure, fallback: v1alpha1.RestartOnFailure, clean: v1alpha1.CleanNone, retries: endless,
		over: pythonVariables, own: pytorch,
	},
	{
		kind: "TFJob", apiVersions: []string{v1}, framework: v1alpha1.TensorFlow,
		specs: "tfReplicaSpecs", roles: tensorflowRoles, container: "tensorflow",
		restart: never, fallback: v1alpha1.RestartNever, clean: v1alpha1.CleanNone, retries: endless, own: tensorflow,
	},
	{
		kind: "TFJob", apiVersions: oldest, framework: v1alpha1.TensorFlow,
		specs: "tfReplicaSpecs", roles: tensorflowRoles, container: "tensorflow",
		restart: never, fallback: v1alpha1.RestartNever, clean: v1alpha1.CleanRunning, retries: endless, own: tensorflow,
	},
	{
		kind: "MXJob", apiVersions: []string{v1}, framework: v1alpha1.MXNet,
		specs: "mxReplicaSpecs", roles: mxnetRoles, container: "mxnet",
		restart: never, fallback: v1alpha1.RestartNever, clean: v1alpha1.CleanNone, retries: endless, together: true, own: mxnet, replica: tunerLabel,
	},
	{
		kind: "MXJob", apiVersions: oldest, framework: v1alpha1.MXNet,
		specs: "mxReplicaSpecs", roles: mxnetRoles, container: "mxnet",
		restart: never, fallback: v1alpha1.RestartNever, clean: v1alpha1.CleanAll, retries: endless, together: true, own: mxnet, replica: tunerLabel,
	},
	{
		kind: "XGBoostJob", apiVersions: []string{v1, "xgboostjob.kubeflow.org/v1alpha1", "xgboostjob.kubeflow.org/v1"}, framework: v1alpha1.XGBoost,
		specs: "xgbReplicaSpecs", roles: []string{"Master", "Worker"}, needs: "Master", container: "xgboost",
		restart: never, fallback: v1alpha1.RestartNever, clean: v1alpha1.CleanNone, retries: endless, together: true, over: pythonVariables,
	},
	{
		kind: "JAXJob", apiVersions: []string{v1}, framework: v1alpha1.JAX,
		specs: "jaxReplicaSpecs", roles: []string{"Worker"}, needs: "Worker", container: "jax",
		restart: never, fallback: v1alpha1.RestartNever, clean: v1alpha1.CleanNone, retries: endless, together: true, over: pythonVariables,
	},
	{
		kind: "MPIJob", apiVersions: []string{v1, "kubeflow.org/v1alpha2"}, framework: v1alpha1.MPI,
		specs: "mpiReplicaSpecs", roles: mpiRoles, needs: "Launcher", replicas: map[string]int32{"Worker": 0}, container: "mpi",
		restart: never, fallback: v1alpha1.RestartOnFailure, clean: v1alpha1.CleanNone, retries: endless, exec: true, over: gpuVariables, own: mpi,
	},
	{
		kind: "MPIJob", apiVersions: []string{"kubeflow.org/v2beta1"}, framework: v1alpha1.MPI,
		specs: "mpiReplicaSpecs", roles: mpiRoles, needs: "Launcher", replicas: map[string]int32{"Worker": 0}, container: "mpi",
		restart:  map[string]v1alpha1.RestartPolicy{"Launcher": v1alpha1.RestartOnFailure, "": v1alpha1.RestartNever},
		fallback: v1alpha1.RestartOnFailure, clean: v1alpha1.CleanNone, retries: asJob, batch: "Launcher", spared: "Worker", over: slices.Concat(sshVariables, gpuVariables), own: mpi,
	},
	{
		kind: "MPIJob", apiVersions: []string{"kubeflow.org/v1alpha1"}, framework: v1alpha1.MPI,
		roles: mpiRoles, container: "mpi", restart: never, fallback: v1alpha1.RestartOnFailure,
		clean: v1alpha1.CleanNone, retries: retries{0, "as the original"}, batch: "Launcher", exec: true, steps: []step{oneTemplate, mpi, policyOf},
	},
	{
		kind: "ChainerJob", apiVersions: []string{"kubeflow.org/v1alpha1", v1}, framework: v1alpha1.Chainer,
		roles: []string{"Master"}, container: "chainer", restart: onFailure, fallback: v1alpha1.RestartOnFailure,
		clean: v1alpha1.CleanRunning, retries: asJob, limit: "spec.master.backoffLimit", batch: "Master", exec: true,
		over: []string{"OMPI_MCA_btl_tcp_if_exclude"}, steps: []step{chainer},
	},
	{
		kind: "TrainJob", apiVersions: []string{"trainer.kubeflow.org/v1alpha1"}, container: "node",
		restart: onFailure, fallback: v1alpha1.RestartOnFailure, clean: v1alpha1.CleanRunning, retries: asJob, limit: "spec.runtimeRef", steps: []step{trainJob, policyOf},
	},
}

var (
	tensorflowRoles = []string{"Chief", "Master", "PS", "Worker", "Evaluator"}
	mxnetRoles      = []string{"Scheduler", "Server", "Worker", "TunerTracker", "TunerServer", "Tuner"}
	mpiRoles        = []string{"Launcher", "Worker"}
)

func find(object map[string]any) (row, bool) {
	i := slices.IndexFunc(rows, func(r row) bool {
		version, _ := object["apiVersion"].(string)
		return r.kind == object["kind"] && slices.Contains(r.apiVersions, version)
	})
	if i < 0 {
		return row{}, false
	}
	found := rows[i]
	if found.limit == "" {
		found.limit = "spec.runPolicy.backoffLimit"
	}
	return found, true
}

// others are the kinds of the training operators that are no rows.
var others = map[string]Remark{
	"TrainingRuntime":        {Path: "kind", Text: "the TrainingJobs made from it do not need the TrainingRuntime"},
	"ClusterTrainingRuntime": {Path: "kind", Text: "the TrainingJobs made from it do not need the ClusterTrainingRuntime"},
	"PaddleJob":              {Path: "kind", Text: "Millrace has no framework PaddlePaddle", Lost: true},
	"Trial":                  {Path: "kind", Text: "the Experiment makes its trials anew", Lost: true},
	"Suggestion":             {Path: "kind", Text: "the Experiment makes its suggestions anew", Lost: true},
	"StudyJob":               {Path: "kind", Text: "write it as an Experiment: docs/experiment.md", Lost: true},
	"OptimizationJob":        {Path: "kind", Text: "write it as an Experiment: docs/experiment.md", Lost: true},
	"Tensorboard":            {Path: "kind", Text: "Millrace has no kind for it: a Notebook with server Web can run TensorBoard", Lost: true},
	"PVCViewer":              {Path: "kind", Text: "Millrace has no kind for it: a Notebook can mount the claim", Lost: true},
	"Workspace":              {Path: "kind", Text: "write it as a Notebook: docs/notebook.md", Lost: true},
}

// strange remarks on objects of the training operators that are no job a TrainingJob can run.
func strange(object map[string]any) []Remark {
	version, _ := object["apiVersion"].(string)
	kind, _ := object["kind"].(string)
	group, _, _ := strings.Cut(version, "/")
	if !strings.HasSuffix(group, "kubeflow.org") {
		return nil
	}
	if remark, ok := others[kind]; ok {
		return []Remark{remark}
	}
	known := kind == "Experiment" || slices.ContainsFunc(rows, func(r row) bool { return r.kind == kind }) ||
		slices.ContainsFunc(workspaces, func(w workspace) bool { return w.kind == kind })
	if !known {
		return nil
	}
	return []Remark{{Path: "apiVersion", Text: fmt.Sprintf("%s of %s is not a version that can be converted", kind, version), Lost: true}}
}

// policy is the original's restart policy of a role that names none.
func (r row) policy(role string) v1alpha1.RestartPolicy {
	if policy, ok := r.restart[role]; ok {
		return policy
	}
	return r.restart[""]
}
