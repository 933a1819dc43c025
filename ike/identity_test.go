package ike
