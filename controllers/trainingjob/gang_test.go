// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package trainingjob

import (
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/gang"
)

// gangCase is what a case says of gangs: what can place them in the cluster, the groups there are, and the other gangs.
type gangCase struct {
	Offered []v1alpha1.GangScheduler `json:"offered"`
	Gangs   gang.Settings            `json:"gangs"`
	Groups  []groupInShort           `json:"groups"`
	Rivals  []gang.Waiting           `json:"rivals"`
	// Fabrics are the objects by which schedulers know how nodes are connected.
	Fabrics []map[string]any `json:"fabrics"`
}

// groupInShort is an object that stands for a gang.
type groupInShort struct {
	Of     v1alpha1.GangScheduler `json:"of"`
	Name   string                 `json:"name"`
	Going  bool                   `json:"going"`
	Made   metav1.Time            `json:"made"`
	Spec   map[string]any         `json:"spec"`
	Status map[string]any         `json:"status"`
}

func (c gangCase) world(job *v1alpha1.TrainingJob) World {
	w := World{Gangs: c.Gangs, Rivals: c.Rivals}
	for _, name := range c.Offered {
		row, _ := gang.Find(name)
		w.Served = append(w.Served, row.Kind)
	}
	for _, f := range c.Fabrics {
		w.Fabrics = append(w.Fabrics, unstructured.Unstructured{Object: runtime.DeepCopyJSON(integers(f).(map[string]any))})
	}
	for _, g := range c.Groups {
		row, _ := gang.Find(g.Of)
		o := unstructured.Unstructured{Object: map[string]any{"spec": integers(g.Spec), "status": g.Status}}
		o.SetGroupVersionKind(row.Kind)
		o.SetName(g.Name)
		o.SetNamespace(job.Namespace)
		o.SetUID("uid-of-group")
		o.SetCreationTimestamp(g.Made)
		if g.Going {
			o.SetDeletionTimestamp(new(metav1.NewTime(noon)))
		}
		w.Groups = append(w.Groups, o)
	}
	return w
}

// integers are the numbers of an object as an API server's client reads them.
func integers(value any) any {
	switch v := value.(type) {
	case map[string]any:
		for key := range v {
			v[key] = integers(v[key])
		}
	case []any:
		for i := range v {
			v[i] = integers(v[i])
		}
	case float64:
		return int64(v)
	}
	return value
}

func TestConnectionsOfNodesWakeJobsThatAskForThem(t *testing.T) {
	near := &v1alpha1.Topology{Key: "rack", Mode: v1alpha1.TopologyRequired}
	jobs := map[string]*v1alpha1.Scheduling{
		"plain": nil, "queued": {Queue: "team-a"}, "gang": {Gang: &v1alpha1.Gang{}}, "by-affinity": {Topology: near},
		"near": {Gang: &v1alpha1.Gang{}, Topology: near}, "over": {Gang: &v1alpha1.Gang{}, Topology: near},
	}
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	c := fake.NewClientBuilder().WithScheme(scheme)
	for name, scheduling := range jobs {
		job := &v1alpha1.TrainingJob{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.TrainingJobSpec{Scheduling: scheduling}}
		if name == "over" {
			set(job, condition(v1alpha1.ConditionSucceeded, yes, v1alpha1.ReasonTrainingSucceeded, "It has."))
		}
		c.WithObjects(job)
	}
	want := []reconcile.Request{{NamespacedName: client.ObjectKey{Name: "near"}}}
	if diff := gocmp.Diff(want, unfinished(t.Context(), c.Build(), gathering)); diff != "" {
		t.Errorf("who is woken (-want +got):\n%s", diff)
	}
}
