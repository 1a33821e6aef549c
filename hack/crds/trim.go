// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

// listBounds are the most items a list of a pod spec may have, by its name; anyList is for all others. They are far
// above what a pod of use has, and what makes the cost of a CEL rule over a template finite.
var listBounds = map[string]int64{
	"containers":          32,
	"initContainers":      32,
	"ephemeralContainers": 32,
	"env":                 1000,
}

const (
	anyList = 1000
	anyName = 256
)

type schema = apiextensionsv1.JSONSchemaProps

// trim strips and bounds what is below embedded pod specs, containers and volumes, wherever they are, sinks the rules of templates, and leaves all else
// as it is.
func trim(s *schema) error {
	if template(s) {
		bare(s)
		return sink(s)
	}
	if podSpec(s) || partOfPod(s) {
		bare(s)
		return nil
	}
	var failed []error
	each(s, func(_ string, child *schema) { failed = append(failed, trim(child)) })
	return errors.Join(failed...)
}

// podSpec recognises a pod spec by the two fields that no other type has.
func podSpec(s *schema) bool {
	return has(s, "containers") && has(s, "terminationGracePeriodSeconds")
}

// partOfPod recognises containers and volumes that are embedded without a pod.
func partOfPod(s *schema) bool {
	return has(s, "terminationMessagePath") || has(s, "emptyDir") && has(s, "persistentVolumeClaim")
}

func template(s *schema) bool {
	spec, ok := s.Properties["spec"]
	return ok && has(s, "metadata") && podSpec(&spec)
}

func has(s *schema, property string) bool {
	_, ok := s.Properties[property]
	return ok
}

// bare strips and bounds everything below s; its own description is the API author's and stays.
func bare(s *schema) {
	each(s, func(name string, child *schema) {
		child.Description = ""
		bound(name, child)
		bare(child)
	})
}

func bound(name string, s *schema) {
	switch {
	case s.Type == "array" && s.MaxItems == nil:
		limit, ok := listBounds[name]
		if !ok {
			limit = anyList
		}
		s.MaxItems = &limit
	case s.Type == "string" && name == "name" && s.MaxLength == nil:
		s.MaxLength = new(int64(anyName))
	}
}

// each calls visit with every schema directly below s, and stores what it did to it.
func each(s *schema, visit func(name string, child *schema)) {
	for name, child := range s.Properties {
		visit(name, &child)
		s.Properties[name] = child
	}
	if s.Items != nil && s.Items.Schema != nil {
		visit("", s.Items.Schema)
	}
	if s.AdditionalProperties != nil && s.AdditionalProperties.Schema != nil {
		visit("", s.AdditionalProperties.Schema)
	}
}
