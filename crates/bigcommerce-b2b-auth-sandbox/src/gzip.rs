//! A gzip file of nothing but zeros, written without packing anything: what it unpacks to is known,
//! so are its bytes, and a compressor would be a dependency for one fault.

/// The longest run that one code of the format can repeat.
const RUN: usize = 258;

/// A gzip file that unpacks to this many zero bytes.
///
/// The packed part is one block with the fixed codes: a zero byte, then as often as need be "the
/// byte before, 258 times", then single zero bytes for the rest.
pub(crate) fn zeros(unpacked: usize) -> Vec<u8> {
    // The magic number, the method "deflate", and no name, date or system.
    let mut file = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let mut bits = Bits::default();
    // The last block, with the fixed codes.
    bits.push(1, 1);
    bits.push(1, 2);
    let after_first = unpacked.saturating_sub(1);
    if unpacked > 0 {
        bits.zero_byte();
        for _ in 0..after_first / RUN {
            // Length 258 is the eight bits 11000101, distance 1 is five zero bits. The format
            // stores codes from their first bit on, so they stand here mirrored.
            bits.push(0b1010_0011, 8);
            bits.push(0, 5);
        }
        for _ in 0..after_first % RUN {
            bits.zero_byte();
        }
    }
    // The end of the block is seven zero bits.
    bits.push(0, 7);
    file.extend(bits.finish());
    file.extend(crc_of_zeros(unpacked).to_le_bytes());
    // The format wants the length modulo 2^32.
    let length = u32::try_from(unpacked & 0xffff_ffff).unwrap_or_default();
    file.extend(length.to_le_bytes());
    file
}

/// Bits packed into bytes from the lowest up.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    pending: u32,
    count: u32,
}

impl Bits {
    fn push(&mut self, bits: u32, count: u32) {
        self.pending |= bits << self.count;
        self.count += count;
        while self.count >= 8 {
            let [low, ..] = self.pending.to_le_bytes();
            self.bytes.push(low);
            self.pending >>= 8;
            self.count -= 8;
        }
    }

    /// The code of the byte 0: 00110000, mirrored.
    fn zero_byte(&mut self) {
        self.push(0b0000_1100, 8);
    }

    fn finish(mut self) -> Vec<u8> {
        if self.count > 0 {
            self.push(0, 8 - self.count);
        }
        self.bytes
    }
}

/// The CRC-32 of this many zero bytes, in as many steps as the number has bits.
///
/// A zero byte multiplies the running value by x^8 in the field of the checksum, so n of them
/// multiply it by x^(8n), which squaring gives.
fn crc_of_zeros(bytes: usize) -> u32 {
    // 1 and x^8 with the highest power in the lowest bit, as the checksum has it.
    const ONE: u32 = 1 << 31;
    const BYTE: u32 = 1 << 23;
    let (mut power, mut square, mut left) = (ONE, BYTE, bytes);
    while left > 0 {
        if left & 1 == 1 {
            power = times(power, square);
        }
        square = times(square, square);
        left >>= 1;
    }
    !times(u32::MAX, power)
}

/// The product of two polynomials, modulo that of CRC-32.
fn times(a: u32, b: u32) -> u32 {
    const POLYNOMIAL: u32 = 0xedb8_8320;
    let (mut product, mut shifted) = (0, b);
    for bit in (0..32).rev() {
        if a >> bit & 1 == 1 {
            product ^= shifted;
        }
        let carry = shifted & 1;
        shifted >>= 1;
        if carry == 1 {
            shifted ^= POLYNOMIAL;
        }
    }
    product
}
