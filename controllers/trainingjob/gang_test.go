// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package trainingjob

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/gang"
)

// gangCase is what a case says of gangs: what can place them in the cluster, the groups there are, and the other gangs.
type gangCase struct {
	Offered []v1alpha1.GangScheduler `json:"offered"`
	Gangs   gang.Settings            `json:"gangs"`
	Groups  []groupInShort           `json:"groups"`
	Rivals  []gang.Waiting           `json:"rivals"`
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
	for _, g := range c.Groups {
		row, _ := gang.Find(g.Of)
		o := unstructured.Unstructured{Object: map[string]any{"spec": g.Spec, "status": g.Status}}
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
