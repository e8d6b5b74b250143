// Package tools pins the module that etcd is built from.
package tools
