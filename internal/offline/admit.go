// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package offline

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/objectmeta"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/api/operation"
	metavalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
)

// Refusal is why an API server would not store an object: fields it does not know, as strict validation lists them,
// or fields that are not valid.
type Refusal struct {
	Unknown []string
	Invalid field.ErrorList
	// near finds what an unknown field is probably meant to be.
	near func(path string) string
}

// Empty is true when nothing was refused.
func (r Refusal) Empty() bool { return len(r.Unknown)+len(r.Invalid) == 0 }

// Problems words a refusal for the object it is about.
func (r Refusal) Problems(o Object) []Problem {
	var found []Problem
	for _, path := range r.Unknown {
		text := fmt.Sprintf("unknown field %q", path)
		if r.near != nil && r.near(path) != "" {
			text += ": did you mean " + r.near(path) + "?"
		}
		found = append(found, o.Problem(path, text))
	}
	var unchecked []Problem
	for _, err := range r.Invalid {
		if err.Detail == uncheckedRules {
			unchecked = append(unchecked, o.Problem("", err.Detail))
			continue
		}
		path, message := subject(err, o.place)
		found = append(found, o.Problem(path, remedied(message)))
	}
	slices.SortStableFunc(found, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), strings.Compare(a.Message, b.Message))
	})
	return append(found, unchecked...)
}

// subject is the field an error is about, and its message. A rule about the whole object has no field; it names the one
// it means at the head of its message.
func subject(err *field.Error, in place) (path, message string) {
	if err.Field != "" && err.Field != "<nil>" {
		return err.Field, err.Error()
	}
	return head(err.Detail, in), err.ErrorBody()
}

// head is the field a message names first, or the nearest around it that the object has.
func head(message string, in place) string {
	path, _, _ := strings.Cut(message, " ")
	path = strings.TrimSuffix(path, ":")
	for strings.Contains(path, ".") && !in.has(path) {
		path = path[:strings.LastIndexAny(path, ".[")]
	}
	if !in.has(path) {
		return ""
	}
	return path
}

// Admit does to an object of a defined kind what an API server does on create with strict field validation, and returns
// it as a client would read it back: pruned, with defaults. A namespaced object without a namespace gets the given one.
func (s Schemas) Admit(ctx context.Context, o *unstructured.Unstructured, namespace string) (*unstructured.Unstructured, Refusal) {
	d := s.kinds[o.GroupVersionKind()]
	if d == nil {
		return nil, Refusal{Invalid: field.ErrorList{field.NotSupported(field.NewPath("kind"), o.GetKind(), []string{})}}
	}
	o = o.DeepCopy()
	unknown, err := d.decode(o)
	if err != nil {
		return nil, Refusal{Unknown: unknown, Invalid: field.ErrorList{err}, near: d.near}
	}
	d.prepare(o, namespace)
	refusal := Refusal{Unknown: unknown, Invalid: d.validate(ctx, o), near: d.near}
	defaulting.Default(o.Object, d.structural) // reading back gives the status its defaults
	return o, refusal
}

// decode drops what the schema does not know, and lists it, and fills in defaults.
func (d *definition) decode(o *unstructured.Unstructured) ([]string, *field.Error) {
	kind := o.GroupVersionKind()
	meta, found, unknown, err := objectmeta.GetObjectMetaWithOptions(o.Object, objectmeta.ObjectMetaOptions{ReturnUnknownFieldPaths: true})
	if err != nil {
		return nil, field.Invalid(field.NewPath("metadata"), field.OmitValueType{}, err.Error())
	}
	track := structuralschema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true}
	unknown = append(unknown, pruning.PruneWithOptions(o.Object, d.structural, true, track)...)
	defaulting.PruneNonNullableNullsWithoutDefaults(o.Object, d.structural)
	coerced, paths := objectmeta.CoerceWithOptions(nil, o.Object, d.structural, false, objectmeta.CoerceOptions{ReturnUnknownFieldPaths: true})
	unknown = append(unknown, paths...)
	if coerced != nil {
		return unknown, coerced
	}
	o.SetGroupVersionKind(kind)
	if !found {
		meta = &metav1.ObjectMeta{}
	}
	if err := objectmeta.SetObjectMeta(o.Object, meta); err != nil {
		return unknown, field.InternalError(field.NewPath("metadata"), err)
	}
	defaulting.Default(o.Object, d.structural)
	return unknown, nil
}

// generated stands for the letters an API server appends to generateName.
const generated = "xxxxx"

// prepare sets what belongs to the server and not to the user.
func (d *definition) prepare(o *unstructured.Unstructured, namespace string) {
	if d.namespaced && o.GetNamespace() == "" {
		o.SetNamespace(namespace)
	}
	if o.GetName() == "" && o.GetGenerateName() != "" {
		o.SetName(o.GetGenerateName() + generated)
	}
	if d.hasStatus {
		delete(o.Object, "status")
	}
	o.SetGeneration(1)
}

// uncheckedRules is the server's own sentence.
const uncheckedRules = "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation"

// validate checks metadata, the schema and its rules in the server's order: the rules are skipped when the object is
// not even of the right shape.
func (d *definition) validate(ctx context.Context, o *unstructured.Unstructured) field.ErrorList {
	errs := d.validateMeta(ctx, o)
	errs = append(errs, validation.ValidateCustomResource(nil, o.Object, d.values)...)
	errs = append(errs, d.validateScale(o)...)
	errs = append(errs, objectmeta.Validate(ctx, nil, o.Object, d.structural, false)...)
	errs = append(errs, listtype.ValidateListSetsAndMaps(nil, d.structural, o.Object)...)
	if d.rules == nil {
		return errs
	}
	if misshapen(errs) {
		return append(errs, field.Invalid(nil, nil, uncheckedRules))
	}
	violated, _ := d.rules.Validate(ctx, nil, d.structural, o.Object, nil, celconfig.RuntimeCELCostBudget)
	return append(errs, violated...)
}

func (d *definition) validateMeta(ctx context.Context, o *unstructured.Unstructured) field.ErrorList {
	path := field.NewPath("metadata")
	meta, _, err := objectmeta.GetObjectMeta(o.Object, false)
	if err != nil {
		return field.ErrorList{field.InternalError(path, err)}
	}
	return metavalidation.ValidateObjectMetaDeclaratively(ctx, operation.Create, meta, nil, d.namespaced, metavalidation.NameIsDNSSubdomain, path, true)
}

// validateScale checks the replicas of the scale subresource, which the server reads by a path of its own.
func (d *definition) validateScale(o *unstructured.Unstructured) field.ErrorList {
	if d.scale == nil {
		return nil
	}
	path := field.NewPath(d.scale.SpecReplicasPath)
	steps := strings.Split(strings.TrimPrefix(d.scale.SpecReplicasPath, "."), ".")
	replicas, _, err := unstructured.NestedInt64(o.Object, steps...)
	switch {
	case err != nil:
		return field.ErrorList{field.Invalid(path, replicas, err.Error())}
	case replicas < 0:
		return field.ErrorList{field.Invalid(path, replicas, "should be a non-negative integer")}
	case replicas > math.MaxInt32:
		return field.ErrorList{field.Invalid(path, replicas, fmt.Sprintf("should be less than or equal to %v", math.MaxInt32))}
	}
	return nil
}

// fatal are the errors after which the server does not evaluate rules.
var fatal = []field.ErrorType{
	field.ErrorTypeNotSupported, field.ErrorTypeRequired, field.ErrorTypeTooLong, field.ErrorTypeTooMany, field.ErrorTypeTypeInvalid,
}

// misshapen is true when an error is one after which the server does not evaluate rules.
func misshapen(errs field.ErrorList) bool {
	for _, err := range errs {
		if slices.Contains(fatal, err.Type) {
			return true
		}
	}
	return false
}
