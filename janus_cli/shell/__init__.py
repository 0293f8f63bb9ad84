"""What commands share: options, devices, lines and bars, inputs and outputs, facts and tables, help.

The only room that touches standard streams and chooses devices. Whoever needs something imports its module.
"""
