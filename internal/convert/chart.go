// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package convert

import "cmp"

// charted are the traits that the chart calls otherwise, by the field below singleuser.
var charted = map[string]map[string]string{
	"memory":               {"limit": "mem_limit", "guarantee": "mem_guarantee"},
	"cpu":                  {"limit": "cpu_limit", "guarantee": "cpu_guarantee"},
	"extraResource":        {"limits": "extra_resource_limits", "guarantees": "extra_resource_guarantees"},
	"extraNodeAffinity":    {"required": "node_affinity_required", "preferred": "node_affinity_preferred"},
	"extraPodAffinity":     {"required": "pod_affinity_required", "preferred": "pod_affinity_preferred"},
	"extraPodAntiAffinity": {"required": "pod_anti_affinity_required", "preferred": "pod_anti_affinity_preferred"},
}

// renamed are those directly below it.
var renamed = map[string]string{"serviceAccountName": "service_account", "extraTolerations": "tolerations", "extraEnv": "environment"}

// chart tells the spawner what the values of the chart do; those that are left out are the chart's.
func (h *hub) chart(f *fields, into traits) {
	into.set("mem_guarantee", f.at("memory.guarantee"), "1G")
	into.set("uid", f.at("uid"), int64(1000))
	into.set("fs_gid", f.at("fsGid"), int64(100))
	h.image(f.object("image"), into)
	for group, names := range charted {
		from := f.object(group)
		for key, name := range names {
			if value, said := from.left[key]; said {
				into.set(name, from.at(key), value)
				from.drop(key)
			}
		}
	}
	h.storage(f.object("storage"), into)
	var dedicated []any
	for _, key := range []string{"hub.jupyter.org/dedicated", "hub.jupyter.org_dedicated"} {
		dedicated = append(dedicated, map[string]any{"key": key, "operator": "Equal", "value": "user", "effect": "NoSchedule"})
	}
	into.set("tolerations", f.at("extraTolerations"), append(dedicated, f.list("extraTolerations")...))
	for _, key := range keys(f.left) {
		into.set(cmp.Or(renamed[key], snake(key)), f.at(key), f.take(key))
	}
}

func (h *hub) image(f *fields, into traits) {
	name, tag := f.text("name"), f.take("tag")
	if name != "" && tag != nil {
		name += ":" + number(tag)
	}
	if name != "" {
		into.set("image", f.at("name"), name)
	}
	for key, trait := range map[string]string{"pullPolicy": "image_pull_policy", "pullSecrets": "image_pull_secrets"} {
		if f.has(key) {
			into.set(trait, f.at(key), f.take(key))
		}
	}
}

// homePath is where images of Jupyter have a home.
const homePath = "/home/jovyan"

// storage tells the spawner of the claim that the chart makes for each person, or of the one for all.
func (h *hub) storage(f *fields, into traits) {
	home := map[string]any{"name": "home", "mountPath": cmp.Or(f.text("homeMountPath"), homePath)}
	dynamic, static := f.object("dynamic"), f.object("static")
	claim := cmp.Or(dynamic.text("pvcNameTemplate"), "claim-{user_server}")
	into.set("storage_capacity", f.at("capacity"), cmp.Or(f.take("capacity"), any("10Gi")))
	into.set("storage_class", dynamic.at("storageClass"), dynamic.take("storageClass"))
	into.set("storage_access_modes", dynamic.at("storageAccessModes"), dynamic.take("storageAccessModes"))
	dynamic.drop("volumeNameTemplate")
	if name, path := static.text("pvcName"), static.take("subPath"); f.left["type"] == "static" {
		claim, home["subPath"] = name, cmp.Or(path, any("{username}"))
	}
	volumes, mounts := items(f.take("extraVolumes")), items(f.take("extraVolumeMounts"))
	if kind := f.text("type"); kind != "none" {
		volume := map[string]any{"name": "home", "persistentVolumeClaim": map[string]any{"claimName": claim}}
		volumes, mounts = append([]any{volume}, volumes...), append([]any{home}, mounts...)
	}
	into.set("volumes", f.at("extraVolumes"), volumes)
	into.set("volume_mounts", f.at("extraVolumeMounts"), mounts)
	if f.has("extraLabels") {
		into.set("storage_extra_labels", f.at("extraLabels"), f.take("extraLabels"))
	}
}
