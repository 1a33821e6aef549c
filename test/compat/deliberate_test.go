// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package compat

import (
	"fmt"
	"maps"
	"strings"
)

// difference is one that Millrace makes on purpose: docs/migration.md tells users of each.
type difference struct {
	why string
	// in is true of jobs that it is in.
	in func(o original) bool
	// change makes the original's environment of a container Millrace's, where the operator adds to the user's.
	change func(o original, pod string, all env)
}

// differences are all there are, in what pods and launchers are given.
var differences = []difference{
	{
		why: "processes are started over ssh, as by MPIJob v2beta1, and not by kubectl exec",
		in:  func(o original) bool { return o.is("MPIJob kubeflow.org/v1") },
		change: func(o original, pod string, all env) {
			if pod != o.Name+"-launcher-0" {
				all["K_MPI_JOB_ROLE"] = "worker"
				return
			}
			for _, name := range []string{"OMPI_MCA_plm_rsh_agent", "I_MPI_HYDRA_BOOTSTRAP", "I_MPI_HYDRA_BOOTSTRAP_EXEC"} {
				delete(all, name)
			}
			maps.Copy(all, env{
				"K_MPI_JOB_ROLE": "launcher", "OMPI_MCA_orte_keep_fqdn_hostnames": "true",
				"OMPI_MCA_plm_rsh_args": retries, "OMPI_MCA_orte_set_default_slots": itoa(o.slots()),
			})
		},
	},
	{
		why: "processes are started over ssh, and the hostfile is where that of MPIJob is",
		in:  func(o original) bool { return o.Kind == "ChainerJob" && len(o.Spec.WorkerSets) > 0 },
		change: func(_ original, _ string, all env) {
			delete(all, "KUBECTL_DIR")
			delete(all, "OMPI_MCA_plm_rsh_agent")
			all["OMPI_MCA_orte_default_hostfile"], all["OMPI_MCA_plm_rsh_args"] = "/etc/mpi/hostfile", retries
		},
	},
	{
		why: "a bound that is left out lets the workers be: the original's would keep some of them, or all, waiting",
		in: func(o original) bool {
			e := o.Spec.ElasticPolicy
			return e != nil && (e.MinReplicas == nil) != (e.MaxReplicas == nil)
		},
		change: func(o original, _ string, all env) {
			e, count := o.Spec.ElasticPolicy, int32(find(replicasOf(o.Spec.PyTorchReplicaSpecs, 1), "worker").count)
			least, most := count, count
			if e.MinReplicas != nil {
				least, most = *e.MinReplicas, max(*e.MinReplicas, most)
			} else {
				least, most = min(*e.MaxReplicas, least), *e.MaxReplicas
			}
			all["PET_NNODES"] = fmt.Sprintf("%d:%d", least, most)
		},
	},
	{
		why: "a role without replicas does not exist",
		in: func(o original) bool {
			return o.Kind == "TFJob" && !o.Spec.EnableDynamicWorker && total(replicasOf(o.Spec.TFReplicaSpecs, 1)) > 1
		},
		change: func(o original, _ string, all env) {
			for _, r := range replicasOf(o.Spec.TFReplicaSpecs, 1) {
				if empty := fmt.Sprintf("%q:[]", r.name); r.count == 0 {
					all["TF_CONFIG"] = strings.NewReplacer(empty+",", "", ","+empty, "").Replace(all["TF_CONFIG"])
				}
			}
		},
	},
}

// is true of a job of a kind and version.
func (o original) is(kind string) bool { return o.Kind+" "+o.APIVersion == kind }

// deliberate is what the operator gives to a job's pods, with the differences that Millrace makes on purpose.
func deliberate(o original, c contract) expectation {
	want := expected(o, c, differences)
	e := o.Spec.ElasticPolicy
	if e == nil || e.MaxReplicas == nil {
		return want
	}
	// Workers beyond the elastic bounds are not made: the schema wants their number between the bounds.
	for i := int(*e.MaxReplicas); i < find(replicasOf(o.Spec.PyTorchReplicaSpecs, 1), "worker").count; i++ {
		delete(want.Pods, podName(o, "worker", i))
	}
	return want
}
