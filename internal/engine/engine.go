// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

// Package engine runs every controller of Millrace, and is the only place that writes to the API server.
//
// A kind is three functions. Observe reads what is there into a world W. Plan thinks what should be there. Report thinks
// what the status should say. One pass of the engine is:
//
//	observe -> plan -> delete -> apply -> patch -> create -> report -> one status patch -> events and metrics
//
// Plan and Report are pure, so a plan can be printed, compared with a file and fuzzed, and a pass can be repeated after
// a crash between any two writes: child names are computed, deletes carry the UID that was seen, a create that finds
// its object is content when the object is ours. Events and transition metrics are the difference between the conditions
// before and after, and follow only once the status is stored, so a retry announces and counts nothing twice.
package engine

import (
	"context"
	"maps"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/millrace-ml/millrace/internal/names"
)

// FieldManager is the name under which Millrace owns fields of objects.
const FieldManager = "millrace"

// Object is any API object; it is client.Object under a name that pure code may use.
type Object interface {
	metav1.Object
	runtime.Object
}

// Owner is an object of a kind of ours.
type Owner interface {
	Object
	GetConditions() []metav1.Condition
	SetConditions([]metav1.Condition)
	SetObservedGeneration(int64)
}

// Kind is one kind of ours: what it reads, what it wants, what it says.
type Kind[T Owner, W any] struct {
	// Observe reads the world. It is the only function that reads. What it could not read it leaves marked as unknown
	// in W; an error means that nothing can be decided, and is retried with back-off.
	Observe func(context.Context, client.Reader, T) (W, error)
	// Plan says what the cluster should contain. It is pure.
	Plan func(T, W, time.Time) Plan
	// Report writes what is known into the status of its first argument. It is pure. The engine sets observedGeneration.
	Report func(T, W, time.Time)
	// Refuse writes into the status what could not be written to the cluster, after Report. It is pure.
	Refuse func(T, []Refusal)
	// CanWait is true when the change from the first to the second status may be stored a few seconds later together
	// with others. Optional: without it every change is stored at once.
	CanWait func(before, after T) bool
	// Hurries is true when a change that may be stored later must be within a second: bursts of such changes are one write, and
	// hardly anything can come between. Optional.
	Hurries func(before, after T) bool
	// Announce lists the condition changes that make an event.
	Announce []Announcement
	// Finalize is asked when the object is being deleted and carries Finalizer; it returns true when nothing is left
	// outside the cluster. Optional.
	Finalize func(context.Context, T) (done bool, err error)
	// Finalizer is set on the object when Finalize is. Optional.
	Finalizer string
	// Ours is false for an object that another controller runs: it is left alone, its status included. Optional.
	Ours func(T) bool
	// Mint completes an object that is about to be created with what a plan must not hold, such as keys, or what a Secret holds, which
	// it reads from the API server. Optional.
	Mint func(context.Context, client.Reader, Object) error
	// Adopts is true of an object that nobody controls and that the owner may take over, although it did not make it. Optional.
	Adopts func(owner T, live Object) bool
	// Foresee is the world when what a plan creates has come to be; plans on paper go on from there. Optional.
	Foresee func(W, Plan) W
	// Measure lists what took how long, of which it is known since the first status was stored that the second has. Optional.
	Measure func(before, after T) []Duration
	// Tally lists what happened between two stored statuses, for a counter. Optional.
	Tally func(before, after T) []Count
	// Unwatched lists objects, by an empty value of their type, that are written without a watch on their kind, such as Secrets:
	// their presence is found out by writing.
	Unwatched []client.Object
	// Gone is told the name of an object that is gone, so that facts kept of it elsewhere can go too. Optional.
	Gone func(types.NamespacedName)
}

// Plan is what the cluster should contain.
type Plan struct {
	// Apply lists objects to keep equal to this by server-side apply. One that is somebody else's is never touched.
	Apply []Object
	// Create lists objects to make once, such as pods, when everything in Apply is true. One that exists and is ours is content.
	Create []Step
	// Delete lists objects to remove, by the UID they carry.
	Delete []Step
	// Patch lists objects that exist to change in place.
	Patch []Step
	// Again asks for another pass after this time; zero asks for none.
	Again time.Duration
}

// Empty is true when the plan writes nothing but what it applies.
func (p Plan) Empty() bool { return len(p.Create)+len(p.Delete)+len(p.Patch) == 0 }

// Step is one write and its reason.
type Step struct {
	// Object is what is written. A Delete or Patch needs its name and UID only.
	Object Object
	// Why is told in an event and in the log. Steps with an empty Why are not announced.
	Why string
	// Reason is the event's reason, CamelCase.
	Reason string
	// Grace is the grace period of a Delete in seconds; nil leaves it to the object.
	Grace *int64
	// Subresource is what a Patch goes to, such as resize; empty for the object itself.
	Subresource string
	// Data is the strategic merge patch of a Patch, in JSON; a JSON merge patch for an unstructured object.
	Data []byte
}

// Refusal is a write that did not happen and why.
type Refusal struct {
	// Verb is apply, create, patch or delete.
	Verb string
	// Kind and Name are of the object that was not written.
	Kind, Name string
	// Cause says what kind of refusal it is.
	Cause Cause
	// Message is the API server's, or names the owner of the object in the way.
	Message string
}

// Cause tells refusals apart that call for different words or waits.
type Cause string

// The causes of a refusal.
const (
	// Taken: an object of that name belongs to somebody else.
	Taken Cause = "Taken"
	// Quota: a ResourceQuota or LimitRange refuses the object.
	Quota Cause = "Quota"
	// Forbidden: the manager may not write the object, or an admission plug-in refuses it.
	Forbidden Cause = "Forbidden"
	// Invalid: the API server finds the object invalid.
	Invalid Cause = "Invalid"
	// Broken: something the API server asks, such as a webhook, does not answer.
	Broken Cause = "Broken"
	// Missing: the API server does not know the kind, or the namespace is going away.
	Missing Cause = "Missing"
)

// Announcement is a condition change that makes an event.
type Announcement struct {
	// Condition and Status are of the condition as it became.
	Condition string
	Status    metav1.ConditionStatus
	// Reasons narrow the change to these reasons; empty means any.
	Reasons []string
	// Type is Normal or Warning.
	Type string
}

// Duration is how long a step in the life of an object took.
type Duration struct {
	// Step and Variant are labels of a metric: few, and known beforehand.
	Step, Variant string
	Took          time.Duration
}

// Count is how often something happened.
type Count struct {
	// What and Variant are labels of a metric: few, and known beforehand.
	What, Variant string
	Times         int
}

// Unknowable is a world that could be read in part only. A world type may implement it, so that the engine looks again soon.
type Unknowable interface {
	// Unread names what could not be read; empty when the world is whole.
	Unread() []string
}

// Owned is true when the object is controlled by the owner with this UID, or kept for it.
func Owned(o metav1.Object, owner types.UID) bool {
	ref := metav1.GetControllerOfNoCopy(o)
	if ref == nil {
		return kept(o, owner)
	}
	return ref.UID == owner
}

// Keep marks an object of a plan as the owner's without an owner reference: garbage collection does not take it away with the owner.
func Keep(o metav1.Object, owner metav1.Object) {
	annotations := maps.Clone(o.GetAnnotations())
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[names.KeptFor] = string(owner.GetUID())
	o.SetAnnotations(annotations)
}

// kept is true of an object that Keep marked for the owner with this UID.
func kept(o metav1.Object, owner types.UID) bool {
	uid, marked := o.GetAnnotations()[names.KeptFor]
	return marked && uid == string(owner)
}
