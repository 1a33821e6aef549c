// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package trainingjob

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

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
