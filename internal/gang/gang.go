// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

// Package gang knows what places the pods of a job together or not at all. Each back end is a row of a table: the object that
// stands for the gang, how a pod joins it, when pods may be made, and what it says when there is no room. A back end is
// added by adding a row; nothing else switches on its name. The last row, Guard, needs no scheduler: guard.go decides when a
// gang that holds nodes in vain lets go of them.
//
// Group objects are unstructured: none of these projects is a dependency.
package gang

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/names"
)

// Gang is what a job asks of a back end.
type Gang struct {
	// Owner is the name of the job, and Namespace its namespace.
	Owner, Namespace string
	// Labels are those of the group object.
	Labels map[string]string
	// Attempt counts how often the whole gang was placed anew.
	Attempt int32
	// MinMember is the number of pods to be placed together.
	MinMember int32
	// Roles are the minimums of all roles when the job asks for any.
	Roles []Role
	// Timeout is how long placed pods may wait for the rest, in seconds.
	Timeout int32
	// Priority is the PriorityClass of all pods; Mixed is true when they have several.
	Priority string
	Mixed    bool
	// Requests are what the pods of the minimum ask for together.
	Requests corev1.ResourceList
	// Queue is the queue the job waits in.
	Queue string
	// Topology is what keeps the pods close together, if anything.
	Topology *v1alpha1.Topology
	// Level is where the back end itself knows the topology's label; nil where it does not.
	Level *Level
}

// Level is a height in a back end's picture of how nodes are connected.
type Level struct {
	// Fabric is the name of the object that has it.
	Fabric string
	// Tier counts from the nodes up, where the back end counts.
	Tier int64
}

// Role is the minimum of a role.
type Role struct {
	Name      string
	MinMember int32
}

// Row is what there is to know about a back end.
type Row struct {
	// Name is the row's key.
	Name v1alpha1.GangScheduler
	// Kind is the kind of the object that stands for a gang; empty where there is none. A cluster that serves it has the back end.
	Kind schema.GroupVersionKind
	// PerAttempt is true where such an object can stand for one attempt only, because it has a phase that does not go back.
	PerAttempt bool
	// Scheduler is the schedulerName of pods whose template names none; empty for the default scheduler.
	Scheduler string
	// Queues is true where the back end has queues of its own, which spec.scheduling.queue names in a job that names the back end.
	Queues bool
	// Spec is the spec of the object.
	Spec func(Gang) map[string]any
	// Join makes a pod of a role a member of the group of a name.
	Join func(g Gang, group, role string, p *corev1.Pod)
	// Admits says why pods must not be made yet, by the object as it is; empty when they may be. Where it is nil they may be made
	// with the object.
	Admits func(Gang, *unstructured.Unstructured) (why string)
	// Admitted makes the object one that lets pods be made, for plans on paper.
	Admitted func(*unstructured.Unstructured)
	// Short is what the object says when there is no room; empty when it says nothing.
	Short func(*unstructured.Unstructured) string
	// Lacks says what of a gang the back end cannot do, if anything.
	Lacks func(Gang) (Lack, bool)
	// Fabric is the kind of the objects by which the back end knows how nodes are connected; empty where it has none.
	Fabric schema.GroupVersionKind
	// Finds finds a node label in such an object.
	Finds func(fabric *unstructured.Unstructured, label string) (Level, bool)
	// Level is what the object itself asks for; nil where it asks for none.
	Level func(group *unstructured.Unstructured) *Level
	// Gathers is true for a gang whose topology the object itself asks for. Others are asked for by the affinity of pods.
	Gathers func(Gang) bool
}

// Lack is something that a back end cannot do: the field that asks for it, why not, and what to do instead.
type Lack struct{ Field, Why, Instead string }

// rows are the back ends, in the order in which Auto tries them. Guard is always there, so what comes after it must be asked for.
var rows = []Row{native, volcano, kai, coscheduling, guard, queue}

// Rows returns all back ends.
func Rows() []Row { return slices.Clone(rows) }

// Find returns the row of a back end, and false when this version of Millrace has none.
func Find(name v1alpha1.GangScheduler) (Row, bool) {
	i := slices.IndexFunc(rows, func(r Row) bool { return r.Name == name })
	if i < 0 {
		return Row{}, false
	}
	return rows[i], true
}

// Kinds are the kinds of all group objects.
func Kinds() []schema.GroupVersionKind {
	var kinds []schema.GroupVersionKind
	for _, r := range rows {
		if r.Grouped() {
			kinds = append(kinds, r.Kind)
		}
	}
	return kinds
}

// Fabrics are the kinds by which back ends know how nodes are connected.
func Fabrics() []schema.GroupVersionKind {
	var kinds []schema.GroupVersionKind
	for _, r := range rows {
		if r.Finds != nil {
			kinds = append(kinds, r.Fabric)
		}
	}
	return kinds
}

// Settings are the manager's for all jobs.
type Settings struct {
	// Scheduler places the gangs of jobs that leave it to the manager; Auto, or empty, takes what the cluster has.
	Scheduler v1alpha1.GangScheduler
	// SchedulerNames replace the schedulerName of back ends.
	SchedulerNames map[v1alpha1.GangScheduler]string
}

// Choose is the back end for a gang: the one the job wants, whether it can or not, the one the manager is set to, or else the first
// that the cluster serves; of these one that can do what the job asks. Guard can always.
func (s Settings) Choose(wanted v1alpha1.GangScheduler, g Gang, served []schema.GroupVersionKind) Row {
	if row, known := Find(wanted); known {
		return row
	}
	if row, known := Find(s.Scheduler); known {
		if _, lacking := row.lack(g); !lacking {
			return row
		}
	}
	for _, row := range rows {
		if _, lacking := row.lack(g); !lacking && row.Served(served) {
			return row
		}
	}
	return guard
}

// SchedulerName is the schedulerName of a row's pods whose template names none.
func (s Settings) SchedulerName(r Row) string { return cmp.Or(s.SchedulerNames[r.Name], r.Scheduler) }

// Grouped is true when an object stands for a gang.
func (r Row) Grouped() bool { return r.Kind.Kind != "" }

// Served is true when the cluster has the back end.
func (r Row) Served(served []schema.GroupVersionKind) bool {
	return !r.Grouped() || slices.Contains(served, r.Kind)
}

// Refuses says why a gang cannot be placed as the job asks, and what to do.
func (r Row) Refuses(g Gang) (message string, refused bool) {
	lack, refused := r.lack(g)
	return fmt.Sprintf("%s: %s %s: %s.", lack.Field, r.Name, lack.Why, lack.Instead), refused
}

func (r Row) lack(g Gang) (Lack, bool) {
	if r.Lacks == nil {
		return Lack{}, false
	}
	return r.Lacks(g)
}

// GroupName is the name of the object that stands for a gang: the job's, and that of an attempt where it can stand for one only.
func (r Row) GroupName(g Gang) string {
	switch {
	case !r.Grouped():
		return ""
	case r.PerAttempt:
		return names.Short(g.Owner + "-" + strconv.Itoa(int(g.Attempt)))
	default:
		return g.Owner
	}
}

// Group is the object that stands for a gang.
func (r Row) Group(g Gang) *unstructured.Unstructured {
	group := &unstructured.Unstructured{Object: map[string]any{"spec": r.Spec(g)}}
	group.SetGroupVersionKind(r.Kind)
	group.SetName(r.GroupName(g))
	group.SetNamespace(g.Namespace)
	group.SetLabels(g.Labels)
	return group
}

// Says is what an object says when there is no room for its gang.
func (r Row) Says(group *unstructured.Unstructured) string {
	if r.Short == nil || group == nil {
		return ""
	}
	return r.Short(group)
}

// Near is true when the object asks for the gang's topology itself.
func (r Row) Near(g Gang) bool { return g.Topology != nil && r.Gathers != nil && r.Gathers(g) }

// Locate finds the label of a topology among the objects by which the back end knows how nodes are connected, nil if it does not know it. A group
// that is there keeps what it asks for, whatever becomes of those: it is written once, and a back end may have dropped the field.
func (r Row) Locate(t *v1alpha1.Topology, group *unstructured.Unstructured, fabrics []unstructured.Unstructured) *Level {
	if t == nil || r.Finds == nil {
		return nil
	}
	if group != nil {
		return r.Level(group)
	}
	for i := range fabrics {
		if fabrics[i].GroupVersionKind() != r.Fabric {
			continue
		}
		if level, found := r.Finds(&fabrics[i], t.Key); found {
			return &level
		}
	}
	return nil
}

func located(g Gang) bool { return g.Level != nil }

func levelIf(found bool, level Level) *Level {
	if !found {
		return nil
	}
	return &level
}

// set puts a value that is not empty into a spec.
func set(spec map[string]any, key, value string) {
	if value != "" {
		spec[key] = value
	}
}

func annotate(p *corev1.Pod, key, value string) {
	if p.Annotations == nil {
		p.Annotations = map[string]string{}
	}
	p.Annotations[key] = value
}

// conditionMessage is the message of the condition of a type and status in a list of conditions.
func conditionMessage(group *unstructured.Unstructured, list, kind string, status corev1.ConditionStatus) string {
	conditions, _, _ := unstructured.NestedSlice(group.Object, "status", list)
	for _, entry := range conditions {
		c, ok := entry.(map[string]any)
		if ok && c["type"] == kind && c["status"] == string(status) {
			message, _ := c["message"].(string)
			reason, _ := c["reason"].(string)
			return cmp.Or(reasons(c), message, reason)
		}
	}
	return ""
}

// reasons are the messages of a condition that has several, sorted: they must not take turns.
func reasons(c map[string]any) string {
	list, _ := c["reasons"].([]any)
	var all []string
	for _, entry := range list {
		if r, ok := entry.(map[string]any); ok {
			message, _ := r["message"].(string)
			all = append(all, message)
		}
	}
	slices.Sort(all)
	return strings.Join(slices.DeleteFunc(slices.Compact(all), func(s string) bool { return s == "" }), "; ")
}

// Of returns the row whose group objects are of a kind.
func Of(kind schema.GroupVersionKind) (Row, bool) {
	i := slices.IndexFunc(rows, func(r Row) bool { return r.Grouped() && r.Kind == kind })
	if i < 0 {
		return Row{}, false
	}
	return rows[i], true
}
