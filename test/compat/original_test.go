// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package compat

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// original is a job of one of the operators, as far as its contract depends on it.
type original struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              originalSpec `json:"spec"`
}

type originalSpec struct {
	PyTorchReplicaSpecs map[string]*replicaSpec `json:"pytorchReplicaSpecs"`
	TFReplicaSpecs      map[string]*replicaSpec `json:"tfReplicaSpecs"`
	MPIReplicaSpecs     map[string]*replicaSpec `json:"mpiReplicaSpecs"`
	MXReplicaSpecs      map[string]*replicaSpec `json:"mxReplicaSpecs"`
	XGBReplicaSpecs     map[string]*replicaSpec `json:"xgbReplicaSpecs"`
	JAXReplicaSpecs     map[string]*replicaSpec `json:"jaxReplicaSpecs"`
	Master              *replicaSpec            `json:"master"`
	WorkerSets          map[string]*replicaSpec `json:"workerSets"`

	NprocPerNode        *string        `json:"nprocPerNode"`
	ElasticPolicy       *elasticPolicy `json:"elasticPolicy"`
	EnableDynamicWorker bool           `json:"enableDynamicWorker"`
	SlotsPerWorker      *int32         `json:"slotsPerWorker"`
	MainContainer       string         `json:"mainContainer"`
	MPIImplementation   string         `json:"mpiImplementation"`
	RunLauncherAsWorker bool           `json:"runLauncherAsWorker"`
}

type replicaSpec struct {
	Replicas  *int32                 `json:"replicas"`
	Template  corev1.PodTemplateSpec `json:"template"`
	Label     string                 `json:"label"`
	MPIConfig struct {
		Slots *int32 `json:"slots"`
	} `json:"mpiConfig"`
}

type elasticPolicy struct {
	MinReplicas  *int32  `json:"minReplicas"`
	MaxReplicas  *int32  `json:"maxReplicas"`
	MaxRestarts  *int32  `json:"maxRestarts"`
	NProcPerNode *int32  `json:"nProcPerNode"`
	RDZVBackend  *string `json:"rdzvBackend"`
	RDZVHost     *string `json:"rdzvHost"`
	RDZVPort     *int32  `json:"rdzvPort"`
	RDZVID       *string `json:"rdzvId"`
	Standalone   bool    `json:"standalone"`
	RDZVConf     []struct {
		Key   string `json:"key"`
		Value string `json:"value"`
	} `json:"rdzvConf"`
}

// readOriginal reads an object; false for one whose contract is not published: another kind, or a version before it.
func readOriginal(t *testing.T, object map[string]any) (original, contract, bool) {
	t.Helper()
	kind, _ := object["kind"].(string)
	version, _ := object["apiVersion"].(string)
	c, known := contracts[kind+" "+version]
	if !known {
		return original{}, contract{}, false
	}
	text, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	var o original
	if err := json.Unmarshal(text, &o); err != nil {
		t.Fatal(err)
	}
	if o.Namespace == "" {
		o.Namespace = "default"
	}
	return o, c, true
}

// replica is a replica type: its name in lower case and the number of its pods.
type replica struct {
	name  string
	count int
	*replicaSpec
}

// replicasOf are the replica types in the order of the alphabet, with the default number of replicas where they have none.
func replicasOf(specs map[string]*replicaSpec, unset int) []replica {
	var found []replica
	for name, spec := range specs {
		r := replica{name: strings.ToLower(name), count: unset, replicaSpec: spec}
		if spec.Replicas != nil {
			r.count = int(*spec.Replicas)
		}
		found = append(found, r)
	}
	slices.SortFunc(found, func(a, b replica) int { return strings.Compare(a.name, b.name) })
	return found
}

// without leaves out the replica types that the operator does not know: it makes no pods of them.
func without(all []replica, known ...string) []replica {
	return slices.DeleteFunc(all, func(r replica) bool { return !slices.Contains(known, r.name) })
}

func find(all []replica, name string) *replica {
	i := slices.IndexFunc(all, func(r replica) bool { return r.name == name })
	if i < 0 {
		return nil
	}
	return &all[i]
}

func total(all []replica) int {
	n := 0
	for _, r := range all {
		n += r.count
	}
	return n
}

// portOf is the port of a name in the container of a name, or the default that the operator adds.
func (r *replica) portOf(container, port string, number int32) int32 {
	for _, c := range r.Template.Spec.Containers {
		for _, p := range c.Ports {
			if c.Name == container && p.Name == port {
				return p.ContainerPort
			}
		}
	}
	return number
}
