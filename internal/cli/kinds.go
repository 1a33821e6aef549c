// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/util/jsonpath"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/config/crd"
	conditions "github.com/millrace-ml/millrace/internal/condition"
	"github.com/millrace-ml/millrace/internal/engine"
)

// kind is a kind of Millrace as its definition has it: what users call it, and the columns of its table.
type kind struct {
	schema.GroupVersionKind
	names      apiextensionsv1.CustomResourceDefinitionNames
	namespaced bool
	columns    []apiextensionsv1.CustomResourceColumnDefinition
}

// kinds are all kinds of Millrace, by their names. Reading them fails only for a definition this program was built with, which a test sees.
var kinds = sync.OnceValue(func() []kind {
	files, err := crd.FS.ReadDir("bases")
	if err != nil {
		panic(err)
	}
	found := make([]kind, len(files))
	for i, file := range files {
		text, err := crd.FS.ReadFile("bases/" + file.Name())
		if err != nil {
			panic(err)
		}
		// The schema is nearly all of the text, comes last, and takes long to read.
		head, _, _ := strings.Cut(string(text), "\n    schema:\n")
		var d apiextensionsv1.CustomResourceDefinition
		if err := yaml.Unmarshal([]byte(head), &d); err != nil {
			panic(err)
		}
		found[i] = kind{
			v1alpha1.GroupVersion.WithKind(d.Spec.Names.Kind), d.Spec.Names, d.Spec.Scope == apiextensionsv1.NamespaceScoped,
			d.Spec.Versions[0].AdditionalPrinterColumns,
		}
	}
	return found
})

// words are what a kind is called: its name, its plural and what is short.
func (k kind) words() []string {
	return append([]string{k.names.Singular, k.names.Plural}, k.names.ShortNames...)
}

// allKinds is the word for every kind that is in namespaces.
const allKinds = "all"

// kindsOf are the kinds that a word names: one, several with commas between, or all; false when one of them is none.
func kindsOf(word string) ([]kind, bool) {
	known := kinds()
	if word == allKinds {
		return slices.DeleteFunc(slices.Clone(known), func(k kind) bool { return !k.namespaced }), true
	}
	var found []kind
	for one := range strings.SplitSeq(strings.ToLower(word), ",") {
		i := slices.IndexFunc(known, func(k kind) bool { return slices.Contains(k.words(), strings.TrimSuffix(one, "."+k.Group)) })
		if i < 0 {
			return nil, false
		}
		found = append(found, known[i])
	}
	return found, true
}

// kindOf is the kind of a name that is right.
func kindOf(name string) kind {
	known := kinds()
	return known[slices.IndexFunc(known, func(k kind) bool { return k.Kind == name })]
}

func kindWords() []string {
	words := []string{allKinds}
	for _, k := range kinds() {
		words = append(words, k.names.Singular)
	}
	return words
}

// refer reads KIND, KIND NAME, KIND/NAME, or NAME, which is that of a TrainingJob; without arguments it is all TrainingJobs.
func refer(args []string) ([]kind, string, error) {
	if len(args) == 1 {
		word, name, slash := strings.Cut(args[0], "/")
		if slash {
			args = []string{word, name}
		} else if _, known := kindsOf(word); !known {
			args = []string{trainingJob, word}
		}
	}
	if len(args) == 0 {
		args = []string{trainingJob}
	}
	found, known := kindsOf(args[0])
	name := strings.Join(args[1:], "")
	switch {
	case !known:
		return nil, "", usagef("unknown kind %q; known: %s", args[0], strings.Join(kindWords(), ", "))
	case name != "" && len(found) > 1:
		return nil, "", usagef("the name %s goes with one kind, not with %s", name, args[0])
	}
	return found, name, nil
}

// trainingJob is the kind of what has a name and no kind.
const trainingJob = "trainingjob"

// item is an object of a kind, and its content as the API has it.
type item struct {
	engine.Owner
	kind    kind
	content map[string]any
}

func (k kind) item(o runtime.Object) (item, error) {
	owner, ok := o.(engine.Owner)
	if !ok {
		return item{}, fmt.Errorf("%T is no object of Millrace", o)
	}
	owner.GetObjectKind().SetGroupVersionKind(k.GroupVersionKind) // lists leave it out
	content, err := contentOf(o)
	return item{owner, k, content}, err
}

// list is an empty list of the kind.
func (k kind) list(c *Cluster) (client.ObjectList, error) {
	o, err := c.Scheme().New(k.GroupVersion().WithKind(k.names.ListKind))
	if err != nil {
		return nil, fmt.Errorf("making a list: %w", err)
	}
	list, ok := o.(client.ObjectList)
	if !ok {
		return nil, fmt.Errorf("%T is no list", o)
	}
	return list, nil
}

// items reads the objects of a kind: in all namespaces, or that of the user.
func (c *Cluster) items(ctx context.Context, k kind, all bool) ([]item, error) {
	list, err := k.list(c)
	if err != nil {
		return nil, err
	}
	if err := c.List(ctx, list, c.where(k, all)...); err != nil {
		return nil, err
	}
	objects, err := meta.ExtractList(list)
	if err != nil {
		return nil, fmt.Errorf("reading a list: %w", err)
	}
	found := make([]item, len(objects))
	for i, o := range objects {
		if found[i], err = k.item(o); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// where selects the namespace of the user, unless all are meant or the kind is in none.
func (c *Cluster) where(k kind, all bool) []client.ListOption {
	if all || !k.namespaced {
		return nil
	}
	return []client.ListOption{client.InNamespace(c.Namespace)}
}

// item reads one object.
func (c *Cluster) item(ctx context.Context, k kind, name string) (item, error) {
	o, err := c.Scheme().New(k.GroupVersionKind)
	if err != nil {
		return item{}, fmt.Errorf("making an object: %w", err)
	}
	found, err := k.item(o)
	if err != nil {
		return item{}, err
	}
	if err := c.find(ctx, k, name, found.Owner); err != nil {
		return item{}, err
	}
	return k.item(found.Owner)
}

// find reads one object into another; for one that is not there the error has an exit code.
func (c *Cluster) find(ctx context.Context, k kind, name string, into client.Object) error {
	key := client.ObjectKey{Name: name}
	if k.namespaced {
		key.Namespace = c.Namespace
	}
	err := c.Get(ctx, key, into)
	if isMissing(err) {
		return c.noSuch(k, name)
	}
	return err
}

func (c *Cluster) noSuch(k kind, name string) error {
	where := ""
	if k.namespaced {
		where = fmt.Sprintf(" in namespace %q; -n names another namespace", c.Namespace)
	}
	return exit{code: ExitNotFound, err: fmt.Errorf("there is no %s %q%s", k.names.Singular, name, where)}
}

// follow follows the objects of a kind, or one of a name.
func (c *Cluster) follow(ctx context.Context, k kind, name string, all bool) (<-chan change, error) {
	list, err := k.list(c)
	if err != nil {
		return nil, err
	}
	where := c.where(k, all)
	if name != "" {
		where = append(where, client.MatchingFields{"metadata.name": name})
	}
	return c.changes(ctx, list, where...)
}

// layout is the table of a kind: its printer columns, as kubectl shows them.
func (k kind) layout(wide bool, now time.Time) layout {
	var l layout
	columns := slices.DeleteFunc(slices.Clone(k.columns), func(c apiextensionsv1.CustomResourceColumnDefinition) bool { return c.Priority > 0 && !wide })
	for _, c := range columns {
		l.header = append(l.header, strings.ToUpper(c.Name))
	}
	l.row = func(o item) []string {
		row := make([]string, len(columns))
		for i, c := range columns {
			row[i] = cmp.Or(oneLine(o.at(c.JSONPath, c.Type, now)), nothing)
			if c.JSONPath == phasePath {
				row[i] = o.phase()
			}
		}
		return row
	}
	return l
}

// at is what is at a path of an object, with commas between where there are several; for a date how long ago it was. Empty when there is nothing.
func (o item) at(path, as string, now time.Time) string {
	finder := jsonpath.New(path).AllowMissingKeys(true)
	if err := finder.Parse("{" + path + "}"); err != nil {
		return "" // no path of a definition, which the API server has read
	}
	found, err := finder.FindResults(o.content)
	if err != nil {
		return ""
	}
	var said []string
	for _, values := range found {
		for _, v := range values {
			said = append(said, fmt.Sprint(v.Interface()))
		}
	}
	text := strings.Join(said, ",")
	if at, err := time.Parse(time.RFC3339, text); as == "date" && err == nil {
		return short(max(0, now.Sub(at)))
	}
	return text
}

const phasePath = ".status.phase"

// phase is the state of an object in a word.
func (o item) phase() string {
	if said := o.at(phasePath, "string", time.Time{}); said != "" {
		return said
	}
	return map[metav1.ConditionStatus]string{
		metav1.ConditionTrue: v1alpha1.ConditionReady, metav1.ConditionFalse: "NotReady", metav1.ConditionUnknown: v1alpha1.PhasePending,
	}[conditions.Get(o, v1alpha1.ConditionReady).Status]
}

// observed is false while the manager has not seen the newest spec.
func (o item) observed() bool {
	seen, _, err := unstructured.NestedInt64(o.content, "status", "observedGeneration")
	return err == nil && seen >= o.GetGeneration()
}

// finishes is true of kinds that come to an end, where others are ready or not.
func (k kind) finishes() bool {
	return slices.Contains([]string{"TrainingJob", "Experiment", "Trial"}, k.Kind)
}
